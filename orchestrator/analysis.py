"""From a store to fits and figures: reads a sweep's tables and gives them to the resolver and to those who draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.data import load
from jobs.data_kinds import Images
from orchestrator.criteria import parse_criterion, parse_threshold, require_view
from orchestrator.curves import RunCurves, read_curves
from orchestrator.failures import group_failures
from orchestrator.plan import Plan, read_spec
from orchestrator.resolver import resolve_curves
from orchestrator.results import FitResult
from orchestrator.timescales import Criterion, Smoothing
from storage.atomic import publish
from storage.errors import InputError
from storage.layout import StoreLayout, TableName
from storage.local_files import local_copy
from storage.records import attempts_table, runs_table
from storage.scan import Bad, read_table
from workers.inputs import open_labels

if TYPE_CHECKING:
    from orchestrator.figures import Drawn, Format

_RESOLVED: tuple[TableName, ...] = ("metrics", "neighbours")


@dataclass(frozen=True, kw_only=True)
class View:
    """How a sweep is looked at: threshold of the gap ratio, criteria (None for the usual ones), smoothing."""

    k: float = 1 / 3
    criteria: tuple[Criterion, ...] | None = None
    smoothing: Smoothing = "none"

    def __post_init__(self) -> None:
        """Check what a caller may have got wrong; see `orchestrator.criteria.require_view`."""
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
    """Read what the resolver needs of a sweep; `bad` as for `storage.scan.read_table`."""
    run_ids = [run.run_id for run in plan.runs]
    metrics, neighbours = (read_table(layout, table, run_ids, bad=bad) for table in _RESOLVED)
    return Tables(runs_table(layout, run_ids), metrics, neighbours)


def read_samples(plan: Plan, layout: StoreLayout, bad: Bad | None = None) -> pa.Table:
    """Read the generated images that a sweep kept; `bad` as for `storage.scan.read_table`."""
    return read_table(layout, "samples", [run.run_id for run in plan.runs], bad=bad)


def resolve_sweep(plan: Plan, layout: StoreLayout, view: View, bad: Bad | None = None) -> FitResult:
    """Fit the laws of a stored sweep; `bad` as for `storage.scan.read_table`."""
    return read_tables(plan, layout, bad).resolve(plan.sweep, view)


def train_images(layout: StoreLayout, run_id: str) -> np.ndarray | None:
    """The training images of a run, float NCHW in 0…1, or None if they are not at hand."""
    spec = read_spec(layout.run(run_id))
    if not isinstance(spec.data, Images):
        return None
    try:
        images = np.load(local_copy(layout.images(spec.data.fingerprint)), mmap_mode="r")
    except FileNotFoundError:
        return None
    train = load(spec.data, images, open_labels(layout, spec.data))
    assert train.mean is not None
    # Back to 0…1, the range of the gallery.
    unit: np.ndarray = train.train / spec.data.pixel_scale + train.mean[:, None, None]
    return unit


def draw_sweep(
    plan: Plan,
    layout: StoreLayout,
    folder: Path,
    form: Format,
    view: View,
    bad: Bad | None = None,
    *,
    theory: bool = False,
) -> Drawn:
    """Draw the figures of a stored sweep into a folder; `bad` as for `storage.scan.read_table`."""
    from orchestrator.figures import draw

    tables = read_tables(plan, layout, bad)
    samples = read_samples(plan, layout, bad)
    result = tables.resolve(plan.sweep, view)
    return draw(result, *tables, samples, partial(train_images, layout), folder, form, theory=theory)


def report_sweep(
    plan: Plan, layout: StoreLayout, view: View, options: Sequence[str] = (), bad: Bad | None = None
) -> str:
    """The report of a stored sweep as HTML; `bad` as for `storage.scan.read_table`.

    Args:
        plan: the sweep, or the part of it that is asked for.
        layout: the store.
        view: how it is looked at.
        options: words of the command line that made this view, for the commands that are shown.
        bad: collects damaged files.
    """
    from orchestrator.report import Material, render

    run_ids = [run.run_id for run in plan.runs]
    tables = read_tables(plan, layout, bad)
    curves = tables.curves(view)
    store = ["--store", str(layout.root)]
    source = Path(plan.source)
    material = Material(
        result=tables.resolve(plan.sweep, view, curves=curves),
        runs=tables.runs,
        curves=curves,
        neighbours=tables.neighbours,
        samples=read_samples(plan, layout, bad),
        attempts=attempts_table(layout, run_ids),
        failures=group_failures(layout, run_ids),
        train_images=partial(train_images, layout),
        commands=[
            ["tausweep", "run", plan.source, *store],
            ["tausweep", "resolve", plan.sweep, *options, *store],
            ["tausweep", "figures", plan.sweep, *options, *store],
            ["tausweep", "report", plan.sweep, *options, "-o", "report.html", *store],
        ],
        source=source.read_text(encoding="utf-8", errors="replace") if source.is_file() else "",
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )
    return render(material)


def write_page(text: str, out: Path) -> None:
    """Write an HTML page, whole or not at all.

    Raises:
        InputError: the file can't be written.
    """
    try:
        publish(out, lambda file: file.write(text.encode()))
    except OSError as error:
        raise InputError(f"--out {out}: can't be written ({error.strerror})") from error
