"""From a store to fits and figures: reads a sweep's tables and gives them to the resolver and to those who draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from tausweep.orchestrator.analysis.criteria.criterion import Criterion, parse_threshold
from tausweep.orchestrator.analysis.criteria.crossing import Smoothing
from tausweep.orchestrator.analysis.criteria.names import parse_criterion, require_view
from tausweep.orchestrator.analysis.resolver import resolve_curves
from tausweep.orchestrator.analysis.runs.curves import RunCurves, read_curves
from tausweep.orchestrator.analysis.runs.results import FitResult
from tausweep.orchestrator.plan.plan import Plan
from tausweep.storage.layout import StoreLayout, TableName
from tausweep.storage.tables.record_tables import runs_table
from tausweep.storage.tables.scan import Bad, read_table

if TYPE_CHECKING:
    pass

_RESOLVED: tuple[TableName, ...] = ("metrics", "neighbours")


@dataclass(frozen=True, kw_only=True)
class View:
    """How a sweep is looked at: threshold of the gap ratio, criteria (None for the usual ones), smoothing."""

    k: float = 1 / 3
    criteria: tuple[Criterion, ...] | None = None
    smoothing: Smoothing = "none"

    def __post_init__(self) -> None:
        """Check what a caller may have got wrong; see `orchestrator.analysis.criteria.names.require_view`."""
        require_view(self.k, self.criteria or (), self.smoothing)


def view(k: str, criteria: Sequence[str] | None, *, isotonic: bool) -> View:
    """A view from the words of the command line.

    Raises:
        InputError: a word is wrong, or a criterion is given twice.
    """
    found = tuple(parse_criterion(text) for text in criteria or ())
    smoothing: Smoothing = "isotonic" if isotonic else "none"
    return View(k=parse_threshold(k), criteria=found or None, smoothing=smoothing)


class Tables(NamedTuple):
    """A sweep's tables, the attempt rule applied."""

    runs: pa.Table
    metrics: pa.Table
    neighbours: pa.Table

    def curves(self, view: View) -> list[RunCurves]:
        """The runs that have a measurement."""
        return read_curves(*self, k=view.k)

    def resolve(
        self, sweep: str, view: View, draws: int = 500, curves: list[RunCurves] | None = None
    ) -> FitResult:
        """What the resolver says of them, with so many bootstrap resamples; `curves` if they were read already."""
        return resolve_curves(
            self.runs,
            self.curves(view) if curves is None else curves,
            sweep=sweep,
            k=view.k,
            criteria=view.criteria,
            smoothing=view.smoothing,
            draws=draws,
        )


def read_tables(plan: Plan, layout: StoreLayout, bad: Bad | None = None) -> Tables:
    """Read what the resolver needs of a sweep; `bad` as for `storage.tables.scan.read_table`."""
    run_ids = [run.run_id for run in plan.runs]
    metrics, neighbours = (read_table(layout, table, run_ids, bad=bad) for table in _RESOLVED)
    return Tables(runs_table(layout, run_ids), metrics, neighbours)


def resolve_sweep(plan: Plan, layout: StoreLayout, view: View, bad: Bad | None = None) -> FitResult:
    """Fit the laws of a stored sweep; `bad` as for `storage.tables.scan.read_table`."""
    return read_tables(plan, layout, bad).resolve(plan.sweep, view)
