"""From a store to fits: reads a sweep's tables for the resolver and the figures.

Called by the command line, the Python interface, the report and `refine`.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from tausweep.orchestrator.analysis.resolver import fit_sweep
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns, divided
from tausweep.orchestrator.analysis.runs.curves import read_curves
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import FitResult
from tausweep.orchestrator.plan.plan import Plan
from tausweep.storage.layout import StoreLayout, TableName
from tausweep.storage.tables.record_tables import runs_table
from tausweep.storage.tables.scan import Bad, read_table

_RESOLVED: tuple[TableName, ...] = ("metrics", "neighbours")


class Tables(NamedTuple):
    """A sweep's tables.

    Attributes:
        runs: one row per run, settings as columns (see `storage.tables.record_tables.runs_table`).
        metrics: rows of `storage.tables.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.tables.schemas.NEIGHBOURS`, the attempt rule applied.
    """

    runs: pa.Table
    metrics: pa.Table
    neighbours: pa.Table

    def measured(self, k: float) -> MeasuredRuns:
        """The measured runs, with f_mem at the threshold k of the gap ratio."""
        return divided(read_curves(*self, k=k))

    def fit(self, sweep: str, options: ResolverOptions) -> FitResult:
        """The resolver's result for these tables; `sweep` is their name."""
        return fit_sweep(sweep, self.runs, self.measured(options.k), options)


def read_tables(plan: Plan, layout: StoreLayout, bad: Bad | None = None) -> Tables:
    """Read the tables of a sweep for the resolver; `bad` as for `storage.tables.scan.read_table`."""
    run_ids = [run.run_id for run in plan.runs]
    metrics, neighbours = (read_table(layout, table, run_ids, bad=bad) for table in _RESOLVED)
    return Tables(runs_table(layout, run_ids), metrics, neighbours)


def fit_stored(
    plan: Plan, layout: StoreLayout, options: ResolverOptions, bad: Bad | None = None
) -> FitResult:
    """Fit the laws of a stored sweep, by the criteria of its file if the options name none; `bad` as for `storage.tables.scan.read_table`."""
    return read_tables(plan, layout, bad).fit(plan.sweep, options.or_stated(plan.criteria))
