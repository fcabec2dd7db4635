"""Plots by class: when each class is memorised, and how that goes with the number of its training images.

Called by the figures, which set the style and write the files, for studies that have results by class.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.results import ClassTimescale
from tausweep.orchestrator.analysis.runs.wording import regime
from tausweep.orchestrator.figures.palette import COLOURS, MARKERS
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.figures.style import F_MEM, TAU, plain_log


def plot_classes(study: Study) -> Figure:
    """f_mem of each class against tau, a row per n, a column per condition; ticks below are the medians of tau_mem.

    A line is the mean over seeds. Dotted: classes that are not memorised within the budget.
    """
    columns = [c for c in study.conditions if any(condition_of(f) == c for f in study.result.by_class)]
    figure = Figure(figsize=(1.3 + 2.4 * len(columns), 0.9 + 1.9 * len(study.n_values)))
    grid = figure.subplots(len(study.n_values), len(columns), sharex=True, sharey=True, squeeze=False)
    for row, n in zip(grid, study.n_values, strict=True):
        for axes, condition in zip(row, columns, strict=True):
            axes.set(xscale="log", ylim=(-0.08, 1.02))
            _class_panel(axes, study, condition, n)
        row[0].set(ylabel=f"{F_MEM} by class, $n$ = {n}")
    for axes, condition in zip(grid[0], columns, strict=True):
        axes.annotate(study.label(condition), (0.5, 1.16), xycoords="axes fraction", ha="center")
    for axes in grid[-1]:
        axes.set_xlabel(TAU)
    labels = _labels(study)
    handles = [Line2D([], [], color=_colour(labels, label), label=str(label)) for label in labels]
    figure.legend(handles=handles, title="class", loc="outside right center")
    figure.suptitle(study.title() + f"\nticks: median tau_mem by {study.result.regimes[0].criterion}")
    return figure


def _labels(study: Study) -> list[int]:
    return sorted({median.label for median in study.result.by_class})


def _colour(labels: Sequence[int], label: int) -> str:
    return to_hex(mpl.colormaps["turbo"](0.08 + 0.84 * labels.index(label) / max(1, len(labels) - 1)))


def _class_panel(axes: Axes, study: Study, condition: Condition, n: int) -> None:
    labels = _labels(study)
    runs = [run for run in study.runs if run.n == n and study.of_run[run.run_id] == condition]
    medians = {f.label: f for f in study.result.by_class if f.n == n and condition_of(f) == condition}
    for label, median in medians.items():
        tau, mean = _mean_curve(runs, label)
        line = ":" if median.censored == "right" else "-"
        axes.plot(tau, mean, color=_colour(labels, label), linestyle=line, linewidth=1.1)
        if median.tau.estimate is not None:
            axes.plot(median.tau.estimate, -0.04, "|", color=_colour(labels, label), markersize=7)
    words = [
        regime(r).split(":")[0] for r in study.result.regimes if r.n == n and condition_of(r) == condition
    ]
    reached = [len(r.memorised) for r in study.result.regimes if r.n == n and condition_of(r) == condition]
    if words:
        head = words[0].split(" (")[0]
        axes.set_title(f"{head}, {reached[0]} of {len(medians)} classes", color="0.3", fontsize=7)


def _mean_curve(runs: Sequence[RunCurves], label: int) -> tuple[list[int], list[float]]:
    """Tau and f_mem of a class, the mean over the runs that measured it at that tau."""
    values: dict[int, list[float]] = {}
    for run in runs:
        curve = run.curve_of(MemorisedFraction(label=label))
        for tau, value in zip(*curve, strict=True) if curve else ():
            values.setdefault(int(tau), []).append(float(value))
    taus = sorted(values)
    return taus, [float(np.mean(values[tau])) for tau in taus]


def plot_class_frequency(study: Study) -> Figure:
    """tau_mem of a class against the number of its training images, a panel per n; censored ones as arrows at their bound."""
    figure = Figure(figsize=(max(4.4, 1.0 + 2.6 * len(study.n_values)), 3.4))
    grid = figure.subplots(1, len(study.n_values), sharey=True, squeeze=False)[0]
    middle = (len(study.conditions) - 1) / 2
    for axes, n in zip(grid, study.n_values, strict=True):
        axes.set(xscale="log", yscale="log", xlabel="training images of the class", title=f"$n$ = {n}")
        for place, condition in enumerate(study.conditions):
            members = [f for f in study.result.by_class if f.n == n and condition_of(f) == condition]
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            for median in members:
                aside = median.images * 1.05 ** (place - middle)  # conditions do not cover each other
                _frequency_point(axes, median, aside, colour, marker)
        axes.margins(x=0.1, y=0.1)
        plain_log(axes.xaxis, decades=0.8)
    grid[0].set(ylabel=r"$\tau_\mathrm{mem}$ of the class")
    plain_log(grid[0].yaxis, decades=1)
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle="",
            label=text,
        )
        for i, condition in enumerate(study.conditions)
        if (text := study.label(condition))
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(2, len(handles)))
    figure.suptitle(study.title() + f"\nby {study.result.regimes[0].criterion}, medians with 95 % intervals")
    return figure


def _frequency_point(axes: Axes, median: ClassTimescale, x: float, colour: str, marker: str) -> None:
    tau = median.tau
    if tau.estimate is not None:
        low, high = (end if end is not None else tau.estimate for end in (tau.low, tau.high))
        axes.plot([x, x], [low, high], color=colour, linewidth=0.7, alpha=0.6)
        axes.plot(x, tau.estimate, marker, color=colour, alpha=0.8, markeredgewidth=0)
    elif median.bound is not None:
        arrow = r"$\uparrow$" if median.censored == "right" else r"$\downarrow$"
        axes.plot(x, median.bound, color=colour, marker=arrow, markersize=8)
