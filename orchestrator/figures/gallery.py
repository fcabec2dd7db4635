"""Generated samples beside their two nearest training images: which are shown, and the figure of them.

Called by the figures and the report. Takes the first samples of the first seed as they are, none picked by eye; knows no
fit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tausweep.jobs.evaluation.gap_ratio import memorised
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves
from tausweep.orchestrator.figures.palette import STATES
from tausweep.orchestrator.figures.study import Study

_SHOWN_SAMPLES, _SHOWN_N = 8, 4
Image = NDArray[np.floating]
"""CHW in 0…1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptImages:
    """Where the images of a gallery come from.

    Attributes:
        samples: generated images, rows of `storage.tables.schemas.SAMPLES`, the attempt rule applied.
        neighbours: rows of `storage.tables.schemas.NEIGHBOURS`, likewise.
        train_images: run id → its training images, NCHW in 0…1, or None if they are not at hand.
    """

    samples: pa.Table
    neighbours: pa.Table
    train_images: Callable[[str], NDArray[np.floating] | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Card:
    """A generated sample, its nearest training images (none if they are not at hand), and d1/d2."""

    generated: Image
    nearest: tuple[Image, ...]
    gap_ratio: float
    memorised: bool

    @property
    def ratio(self) -> str:
        """d1/d2 in words; a sample on two equal training images has none."""
        return "copy" if math.isnan(self.gap_ratio) else f"{self.gap_ratio:.2f}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """Samples of one run at its last tau with images."""

    condition: Condition
    n: int
    seed: int
    tau: int
    cards: list[Card]


def choose_strips(study: Study, kept: KeptImages, *, most: int = 1) -> list[Strip] | str:
    """Strips of up to four n of each condition, in the order of conditions.

    Args:
        study: its runs.
        kept: images of its runs.
        most: conditions that are shown, those with images of most runs.

    Returns:
        The strips, or why there is none.
    """
    sampled, compared = (set(t["run_id"].unique().to_pylist()) for t in (kept.samples, kept.neighbours))
    shown = [run for run in study.runs if run.run_id in sampled & compared]
    if not shown:
        return "no generated images were kept (gallery = 0), or no neighbours measured"
    chosen = _chosen(study, shown, most)
    # Once: the tables have every sample of every run.
    of_these = pc.field("run_id").isin([run.run_id for run in chosen])
    neighbours, samples = kept.neighbours.filter(of_these), kept.samples.filter(of_these)
    strips = []
    for run in chosen:
        own = samples.filter(pc.field("run_id") == run.run_id)
        cards = _cards(neighbours, own, kept.train_images(run.run_id), run, study.result.k)
        condition, tau = study.of_run[run.run_id], pc.max(own["tau"]).as_py()
        strips.append(Strip(condition=condition, n=run.n, seed=run.settings["seed"], tau=tau, cards=cards))
    return strips


def _chosen(study: Study, shown: list[RunCurves], most: int) -> list[RunCurves]:
    """The first seed at up to four n of each of the conditions with most runs."""
    counts = Counter(study.of_run[run.run_id] for run in shown)
    chosen = []
    for condition in sorted(sorted(counts, key=lambda candidate: (-counts[candidate], candidate))[:most]):
        own = [run for run in shown if study.of_run[run.run_id] == condition]
        every_n = sorted({run.n for run in own})
        for n in sorted({every_n[round(i)] for i in np.linspace(0, len(every_n) - 1, _SHOWN_N)}):
            members = [run for run in own if run.n == n]
            chosen.append(min(members, key=lambda run: (run.settings["seed"], run.settings["subset"])))
    return chosen


def _cards(
    neighbours: pa.Table, samples: pa.Table, training: Image | None, run: RunCurves, k: float
) -> list[Card]:
    tau = pc.max(samples["tau"]).as_py()
    images = {row["sample"]: row for row in samples.filter(pc.field("tau") == tau).to_pylist()}
    at = (pc.field("run_id") == run.run_id) & (pc.field("tau") == tau) & pc.field("sample").isin(list(images))
    rows = sorted(neighbours.filter(at).to_pylist(), key=lambda row: row["sample"])
    return [
        Card(
            generated=np.reshape(images[row["sample"]]["image"], images[row["sample"]]["shape"]),
            nearest=() if training is None else (training[row["nn1"]], training[row["nn2"]]),
            gap_ratio=row["d1"] / row["d2"] if row["d2"] > 0 else math.nan,
            memorised=bool(memorised([row["d1"]], [row["d2"]], k)[0]),
        )
        for row in rows[:_SHOWN_SAMPLES]
    ]


def draw_gallery(study: Study, kept: KeptImages) -> Figure | str:
    """A strip for up to four n; memorised samples are framed. Arguments and returns as `choose_strips`."""
    strips = choose_strips(study, kept)
    if isinstance(strips, str):
        return strips
    figure = Figure(figsize=(6.4, 0.6 + 2.5 * len(strips)))
    for axes, strip in zip(figure.subplots(len(strips), 1, squeeze=False)[:, 0], strips, strict=True):
        axes.set_axis_off()
        axes.set_title(f"$n$ = {strip.n}, $\\tau$ = {strip.tau:,}, seed {strip.seed}", loc="left")
        if strip.cards:
            _draw_cards(axes, strip.cards)
        else:
            axes.text(0, 0.5, "no neighbours at this tau", transform=axes.transAxes)
    which = f"{label} · " if (label := study.label(strips[0].condition)) else ""
    figure.suptitle(f"{study.title()}\n{which}below each $d_1/d_2$; memorised ones ($k$ = {study.k}) framed")
    return figure


def _draw_cards(axes: Axes, cards: list[Card]) -> None:
    channels, height, width = cards[0].generated.shape
    gap = max(1, width // 8)
    canvas = np.ones((3 * height + 2 * gap, len(cards) * (width + gap) - gap, channels))
    for place, card in enumerate(cards):
        left = place * (width + gap)
        for down, image in enumerate((card.generated, *card.nearest)):
            top = down * (height + gap)
            canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
        centre = left + width / 2 - 0.5
        axes.text(centre, 3 * height + 2.5 * gap - 0.5, card.ratio, ha="center", va="top", size=7)
        if card.memorised:
            tall = 2 * height + gap if card.nearest else height
            frame = Rectangle(
                (left - 0.5, -0.5),
                width,
                tall,
                fill=False,
                edgecolor=STATES["memorises"].colour,
                linewidth=1.8,
            )
            frame.set_clip_on(False)
            axes.add_patch(frame)
    axes.imshow(np.clip(canvas.squeeze(), 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    at_hand = bool(cards[0].nearest)
    names = ["generated", "nearest\nin training" if at_hand else "training images\nnot at hand"]
    names += ["second\nnearest"] if at_hand else []
    for down, name in enumerate(names):
        middle = down * (height + gap) + height / 2
        axes.text(-gap, middle - 0.5, name, ha="right", va="center", size=7)
