"""The report and the figures of a stored sweep: reads its tables once and hands them on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tausweep.jobs.data.load import load
from tausweep.jobs.spec.data import Images
from tausweep.orchestrator.plan.plan import Plan, read_spec
from tausweep.orchestrator.stores.failures import group_failures
from tausweep.storage.errors import InputError
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.local_copies import local_copy
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.record_tables import attempts_table
from tausweep.storage.tables.scan import Bad, read_table
from tausweep.workers.inputs import open_labels

if TYPE_CHECKING:
    from tausweep.orchestrator.figures.draw import Drawn
    from tausweep.orchestrator.figures.style import Format
from tausweep.orchestrator.analysis.tables import View, read_tables


def read_samples(plan: Plan, layout: StoreLayout, bad: Bad | None = None) -> pa.Table:
    """Read the generated images that a sweep kept; `bad` as for `storage.tables.scan.read_table`."""
    return read_table(layout, "samples", [run.run_id for run in plan.runs], bad=bad)


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
    """Draw the figures of a stored sweep into a folder; `bad` as for `storage.tables.scan.read_table`."""
    from tausweep.orchestrator.figures.draw import draw

    tables = read_tables(plan, layout, bad)
    samples = read_samples(plan, layout, bad)
    result = tables.resolve(plan.sweep, view)
    return draw(result, *tables, samples, partial(train_images, layout), folder, form, theory=theory)


def report_sweep(
    plan: Plan, layout: StoreLayout, view: View, options: Sequence[str] = (), bad: Bad | None = None
) -> str:
    """The report of a stored sweep as HTML; `bad` as for `storage.tables.scan.read_table`.

    Args:
        plan: the sweep, or the part of it that is asked for.
        layout: the store.
        view: how it is looked at.
        options: words of the command line that made this view, for the commands that are shown.
        bad: collects damaged files.
    """
    from tausweep.orchestrator.report.html import Material, render

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
