"""The report and the figures of a stored sweep: reads its tables once and hands them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from tausweep.jobs.data.load import load
from tausweep.jobs.spec.data import Images
from tausweep.orchestrator.analysis.resolver import fit_sweep
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.tables import read_tables
from tausweep.orchestrator.figures.gallery import KeptImages
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.report.html import Material, render
from tausweep.orchestrator.stores.failures import group_failures
from tausweep.storage.errors import DataError, InputError
from tausweep.storage.files.atomic import publish_bytes
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.record_tables import attempts_table
from tausweep.storage.tables.scan import Bad, read_table
from tausweep.workers.inputs import open_images, open_labels, open_spec


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredStudy:
    """What a stored sweep gives to those who draw it.

    Attributes:
        study: its results and curves.
        runs: one row per run, those without a measurement included.
        images: of its runs.
    """

    study: Study
    runs: pa.Table
    images: KeptImages


def read_study(
    plan: Plan, layout: StoreLayout, options: ResolverOptions, bad: Bad | None = None
) -> StoredStudy:
    """Read and resolve a stored sweep; `bad` as for `storage.tables.scan.read_table`."""
    options = options.or_stated(plan.criteria)
    tables = read_tables(plan, layout, bad)
    samples = read_table(layout, "samples", [run.run_id for run in plan.runs], bad=bad)
    measured = tables.measured(options.k)
    return StoredStudy(
        study=Study(result=fit_sweep(plan.sweep, tables.runs, measured, options), measured=measured),
        runs=tables.runs,
        images=KeptImages(
            samples=samples, neighbours=tables.neighbours, train_images=partial(train_images, layout)
        ),
    )


def train_images(layout: StoreLayout, run_id: str) -> np.ndarray | None:
    """The training images of a run, float NCHW in 0…1, or None if they are not at hand."""
    run = layout.run(run_id)
    spec = open_spec(run)
    if not isinstance(spec.data, Images):
        return None
    try:
        images = open_images(run, spec)
    except DataError:  # a figure shows the samples alone then
        return None
    train = load(spec.data, images, open_labels(layout, spec.data))
    assert train.mean is not None
    # Back to 0…1, the range of the gallery.
    unit: np.ndarray = train.train / spec.data.pixel_scale + train.mean[:, None, None]
    return unit


def report_sweep(
    plan: Plan,
    layout: StoreLayout,
    options: ResolverOptions,
    words: Sequence[str] = (),
    bad: Bad | None = None,
) -> str:
    """The report of a stored sweep as HTML; `bad` as for `storage.tables.scan.read_table`.

    Args:
        plan: the sweep, or the part of it that is wanted.
        layout: the store.
        options: how it is resolved.
        words: of the command line behind these options, for the commands that are shown.
        bad: collects damaged files.
    """
    stored = read_study(plan, layout, options, bad)
    run_ids = [run.run_id for run in plan.runs]
    store = ["--store", str(layout.root)]
    source = Path(plan.source)
    material = Material(
        study=stored.study,
        runs=stored.runs,
        images=stored.images,
        attempts=attempts_table(layout, run_ids),
        failures=group_failures(layout, run_ids),
        commands=[
            ["tausweep", "run", plan.source, *store],
            ["tausweep", "resolve", plan.sweep, *words, *store],
            ["tausweep", "figures", plan.sweep, *words, *store],
            ["tausweep", "report", plan.sweep, *words, "-o", "report.html", *store],
        ],
        source=source.read_text(encoding="utf-8", errors="replace") if source.is_file() else "",
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )
    return render(material)


def write_page(text: str, out: Path) -> None:
    """Write an HTML page, whole or not at all.

    Raises:
        InputError: the file can't be written.
    """
    try:
        publish_bytes(out, text.encode())
    except OSError as error:
        raise InputError(f"--out {out}: can't be written ({error.strerror})") from error
