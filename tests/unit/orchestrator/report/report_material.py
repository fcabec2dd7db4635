"""Reports of synthetic studies, for the tests of the page and of what a browser makes of it."""

from __future__ import annotations

from tausweep.orchestrator.report.html import Material, render
from tausweep.orchestrator.stores.failures import FailureGroup
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.record_tables import attempts_table
from tests.unit.orchestrator.synthetic_study import Tables, kept, resolved

HOSTILE = (
    "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'> & \"quotes\""
)


def report(tables: Tables, tmp_path, *, sweep="synthetic", failures=(), source="", **options) -> str:
    """The report's HTML; failures are (class, message, traceback)."""
    groups = [FailureGroup(failure, error, "a hint", trace, ["0" * 20]) for failure, error, trace in failures]
    material = Material(
        study=resolved(tables, sweep=sweep, **options),
        runs=tables.runs,
        images=kept(tables),
        attempts=attempts_table(StoreLayout(tmp_path), []),
        failures=groups,
        commands=[["tausweep", "run", "a sweep.yaml", "--store", "some where"]],
        source=source,
        date="2026-11-25",
    )
    return render(material)
