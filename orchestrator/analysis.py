"""From a store to fits and figures: reads a sweep's tables, calls the resolver, shows what it found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jobs.images import split
from orchestrator import output
from orchestrator.plan import Plan, read_spec
from orchestrator.resolver import resolve
from orchestrator.results import Estimate, FitResult
from storage.layout import StoreLayout, TableName
from storage.local_files import local_copy
from storage.records import runs_table
from storage.scan import Bad, read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.figures import Drawn, Format

_TABLES: tuple[TableName, ...] = ("metrics", "neighbours", "samples")


def _tables(plan: Plan, layout: StoreLayout, bad: Bad | None) -> tuple[pa.Table, dict[TableName, pa.Table]]:
    run_ids = [run.run_id for run in plan.runs]
    runs = runs_table(layout, run_ids)
    return runs, {table: read_table(layout, table, run_ids, bad=bad) for table in _TABLES}


def resolve_sweep(plan: Plan, layout: StoreLayout, bad: Bad | None = None) -> FitResult:
    """Fit the laws of a stored sweep; `bad` as for `storage.scan.read_table`."""
    runs, tables = _tables(plan, layout, bad)
    return resolve(runs, tables["metrics"], tables["neighbours"], sweep=plan.sweep)


def draw_sweep(plan: Plan, layout: StoreLayout, folder: Path, form: Format, bad: Bad | None = None) -> Drawn:
    """Draw the figures of a stored sweep into a folder; `bad` as for `storage.scan.read_table`."""
    from orchestrator.figures import draw

    runs, tables = _tables(plan, layout, bad)
    result = resolve(runs, tables["metrics"], tables["neighbours"], sweep=plan.sweep)

    def train_images(run_id: str) -> np.ndarray | None:
        spec = read_spec(layout.run(run_id))
        try:
            images = np.load(local_copy(layout.images(spec.data.fingerprint)), mmap_mode="r")
        except FileNotFoundError:
            return None
        train = split(images, spec.data)
        # Back to 0…1, the range of the gallery.
        return train.train / spec.data.pixel_scale + train.mean[:, None, None]

    return draw(
        result, runs, tables["metrics"], tables["neighbours"], tables["samples"], train_images, folder, form
    )


def print_fits(result: FitResult) -> None:
    """Print the fits, the phase diagram and what is to be known about them."""
    output.print_table(
        [
            "criterion",
            "W",
            "optimizer",
            "batch",
            "p",
            "exponent of n",
            "95 % interval",
            "tau/n",
            "points",
            "censored",
        ],
        [
            [
                fit.criterion,
                fit.W,
                fit.optimizer,
                fit.batch,
                fit.p,
                fit.exponent.estimate if fit.reason is None else f"no fit: {fit.reason}",
                _interval(fit.exponent),
                fit.prefactor.estimate,
                fit.n_points,
                fit.n_censored,
            ]
            for fit in result.fits
        ],
        title=f"Laws of sweep {result.sweep}: tau = a·n^exponent; tau/n is the prefactor at exponent 1",
    )
    output.console.print()
    output.print_table(
        ["n", "W", "p", "optimizer", "state", "tau_mem", "tau_gen", "budget", "memorising runs"],
        [
            [
                point.n,
                point.W,
                point.p,
                point.optimizer,
                point.state,
                point.tau_mem,
                point.tau_gen,
                point.budget,
                f"{point.n_crossed}/{point.n_runs}",
            ]
            for point in result.phase_diagram
        ],
        title=f"Phase diagram by {result.criteria[0]}" if result.criteria else "Phase diagram",
    )
    for fit in result.fits:
        if fit.interval_note:
            output.console.print(
                f"note: interval of {fit.criterion}, W = {fit.W}, {fit.optimizer}: {fit.interval_note}"
            )
    for note in result.notes:
        output.console.print(f"note: {note}")


def _interval(estimate: Estimate) -> str | None:
    if estimate.low is None or estimate.high is None:
        return None
    return f"{estimate.low:.2f} … {estimate.high:.2f}"
