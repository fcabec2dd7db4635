"""The figure of generated samples above their two nearest training images.

Called by the figures. Takes the first samples of the first seed as they are, none picked by eye; knows no fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from jobs.gap_ratio import memorised
from orchestrator.curves import RunCurves
from orchestrator.study import Study

_SHOWN_SAMPLES, _SHOWN_N = 8, 4
_FRAME = "#D55E00"
TrainImages = Callable[[str], NDArray[np.floating] | None]


def draw_gallery(
    study: Study, neighbours: pa.Table, samples: pa.Table, train_images: TrainImages
) -> Figure | str:
    """A strip for up to four n, at the last tau with images; memorised samples are framed.

    Args:
        study: shown is the condition that has images of most runs.
        neighbours: rows of `storage.schemas.NEIGHBOURS`.
        samples: rows of `storage.schemas.SAMPLES`.
        train_images: run id → its training images, NCHW in 0…1, or None if they are not at hand.

    Returns:
        The figure, or why there is none.
    """
    kept = set(samples["run_id"].to_pylist()) & set(neighbours["run_id"].to_pylist())
    shown = [run for run in study.runs if run.run_id in kept]
    if not shown:
        return "no generated images were kept (gallery = 0), or no neighbours measured"
    counts = Counter(study.of_run[run.run_id] for run in shown)
    condition = max(sorted(counts), key=lambda candidate: counts[candidate])
    own = [run for run in shown if study.of_run[run.run_id] == condition]
    every_n = sorted({run.n for run in own})
    chosen = sorted({every_n[round(i)] for i in np.linspace(0, len(every_n) - 1, _SHOWN_N)})
    figure = Figure(figsize=(6.4, 0.6 + 2.5 * len(chosen)))
    for axes, n in zip(figure.subplots(len(chosen), 1, squeeze=False)[:, 0], chosen, strict=True):
        run = min(
            (run for run in own if run.n == n), key=lambda run: (run.settings["seed"], run.settings["subset"])
        )
        mine = pc.field("run_id") == run.run_id
        _strip(
            axes, run, neighbours.filter(mine), samples.filter(mine), train_images(run.run_id), study.result.k
        )
    which = f"{label} · " if (label := study.label(condition)) else ""
    figure.suptitle(f"{study.title()}\n{which}below each $d_1/d_2$; memorised ones ($k$ = {study.k}) framed")
    return figure


def _strip(
    axes: Axes,
    run: RunCurves,
    neighbours: pa.Table,
    samples: pa.Table,
    training: NDArray[Any] | None,
    k: float,
) -> None:
    tau = pc.max(samples["tau"]).as_py()
    images = {row["sample"]: row for row in samples.filter(pc.field("tau") == tau).to_pylist()}
    rows = [row for row in neighbours.filter(pc.field("tau") == tau).to_pylist() if row["sample"] in images]
    rows = sorted(rows, key=lambda row: row["sample"])[:_SHOWN_SAMPLES]
    axes.set_axis_off()
    seed = run.settings["seed"]
    axes.set_title(f"$n$ = {run.n}, $\\tau$ = {tau:,}, seed {seed}", loc="left")
    if not rows:
        axes.text(0, 0.5, "no neighbours at this tau", transform=axes.transAxes)
        return
    channels, height, width = images[rows[0]["sample"]]["shape"]
    gap = max(1, width // 8)
    canvas = np.ones((3 * height + 2 * gap, len(rows) * (width + gap) - gap, channels))
    for place, row in enumerate(rows):
        columns = slice(place * (width + gap), place * (width + gap) + width)
        generated = np.reshape(images[row["sample"]]["image"], (channels, height, width))
        canvas[:height, columns] = generated.transpose(1, 2, 0)
        if training is not None:
            for down, nearest in ((1, "nn1"), (2, "nn2")):
                top = down * (height + gap)
                canvas[top : top + height, columns] = training[row[nearest]].transpose(1, 2, 0)
        centre = columns.start + width / 2 - 0.5
        ratio = f"{row['d1'] / row['d2']:.2f}" if row["d2"] > 0 else "copy"
        axes.text(centre, 3 * height + 2.5 * gap - 0.5, ratio, ha="center", va="top", size=7)
        if memorised([row["d1"]], [row["d2"]], k)[0]:
            corner = (columns.start - 0.5, -0.5)
            tall = height if training is None else 2 * height + gap
            frame = Rectangle(corner, width, tall, fill=False, edgecolor=_FRAME, linewidth=1.8)
            frame.set_clip_on(False)
            axes.add_patch(frame)
    axes.imshow(np.clip(canvas.squeeze(), 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    names = ["generated", "nearest\nin training", "second\nnearest"]
    if training is None:
        names[1:] = ["training images\nnot at hand", ""]
    for down, name in enumerate(names):
        middle = down * (height + gap) + height / 2
        axes.text(-gap, middle - 0.5, name, ha="right", va="center", size=7)
