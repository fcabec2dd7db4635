"""Plots over tau: f_mem and the quality of samples, plain and rescaled, and the losses at fixed diffusion timesteps.

Called by the figures, which set the style and write the files; each takes a study and gives a Figure, or the reason why
there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tausweep.jobs.spec import metrics
from tausweep.jobs.spec.metrics import FRECHET_PCA, TEST_LOSS, TRAIN_LOSS, is_quality
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import width_axis
from tausweep.orchestrator.figures.palette import LINES
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.figures.style import F_MEM, TAU, plain_log

Scale = Literal["tau", "tau/n", "tau·W/n"]
_XLABEL: dict[Scale, str] = {
    "tau": TAU,
    "tau/n": r"$\tau / n$ (optimiser updates an image)",
    "tau·W/n": r"$\tau\, W / n$",
}
_UNIT: dict[Scale, Callable[[RunCurves], float]] = {
    "tau": lambda _: 1.0,
    "tau/n": lambda run: float(run.n),
    "tau·W/n": lambda run: run.n / run.width,
}


def quality_of(study: Study) -> str:
    """The distance to held-out images that is drawn: in a network's features where a run measured it."""
    names = {name for run in study.runs for name, t in run.metrics if t is None and is_quality(name)}
    return min(names, key=lambda name: (name == FRECHET_PCA, name), default=FRECHET_PCA)


def plot_curves(study: Study, scale: Scale) -> Figure | str:
    """f_mem above the quality of samples, a column per condition, a colour per n: seeds thin, their mean thick."""
    quality = quality_of(study)
    measures = (metrics.F_MEM, quality)
    if not any(run.curve(measure) for run in study.runs for measure in measures):
        return "neither neighbours nor a distance to held-out images were measured"
    columns = study.conditions
    figure = Figure(figsize=(1.3 + 2.1 * len(columns), 4.4))
    grid = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for row, measure in zip(grid, measures, strict=True):
        for axes, condition in zip(row, columns, strict=True):
            _curve_panel(axes, study, condition, measure, scale)
    _label_rows(study, grid[0][0], grid[1][0], quality)
    for axes, condition in zip(grid[0], columns, strict=True):
        axes.set_title(study.label(condition))
    for axes in grid[1]:
        axes.set_xlabel(_XLABEL[scale])
    figure.legend(handles=_n_handles(study), title="$n$", loc="outside right center")
    figure.suptitle(_with_scores(study) if scale == "tau/n" else study.title())
    return figure


def _label_rows(study: Study, above: Axes, below: Axes, quality: str) -> None:
    above.set(ylabel=f"{F_MEM}  ($k$ = {study.k})")
    if any(run.curve(metrics.F_MEM) for run in study.runs):
        above.set_ylim(bottom=-0.02, top=max(0.2, above.get_ylim()[1]))
    below.set(ylabel=quality)
    if any(run.curve(quality) for run in study.runs):
        below.set_yscale("log")
        plain_log(below.yaxis)


def _n_handles(study: Study) -> list[Line2D]:
    return [Line2D([], [], color=study.colour(n), label=str(n)) for n in study.n_values]


def _with_scores(study: Study) -> str:
    """The title, with how well f_mem collapses in each column."""
    scores = [f"{collapse.score:.2f}" for collapse in study.result.collapses if collapse.score is not None]
    return study.title() + (f"\ncollapse score of {F_MEM}: {', '.join(scores)}" if scores else "")


def _curve_panel(axes: Axes, study: Study, condition: Condition, measure: str, scale: Scale) -> None:
    axes.set_xscale("log")
    for n in study.n_values:
        runs = [run for run in study.runs if run.n == n and study.of_run[run.run_id] == condition]
        _seeds_and_mean(axes, runs, measure, None, study.colour(n), scale)
    if not axes.lines:
        text = f"{measure}\nnot measured"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.grid(visible=False)
        axes.tick_params(axis="y", which="both", left=False, labelleft=False)


def _seeds_and_mean(
    axes: Axes,
    runs: Sequence[RunCurves],
    measure: str,
    t: float | None,
    colour: str,
    scale: Scale,
    line: str = "-",
) -> None:
    curves = [curve for run in runs if (curve := run.curve(measure, t))]
    unit = _UNIT[scale](runs[0]) if runs else 1.0
    for curve in curves if len(curves) > 1 else ():
        axes.plot(curve.tau / unit, curve.value, color=colour, linewidth=0.6, alpha=0.5, linestyle=line)
    # The mean ends where the first seed ends: beyond, its members would change along the line.
    common = sorted(set.intersection(*(set(curve.tau.tolist()) for curve in curves))) if curves else []
    if common:
        mean = np.mean([curve.value[np.isin(curve.tau, common)] for curve in curves], axis=0)
        marker = "o" if len(common) == 1 else None
        axes.plot(np.array(common) / unit, mean, color=colour, marker=marker, linestyle=line)


def plot_widths(study: Study) -> Figure | str:
    """f_mem against tau·W/n, all widths of an optimizer in one panel: they lie on each other if tau_mem ∝ n/W."""
    if len({condition.W for condition in study.conditions}) < 2:
        return f"one {width_axis(study.conditions)} only"
    if not any(run.curve(metrics.F_MEM) for run in study.runs):
        return "no neighbours were measured"
    columns = sorted({replace(condition, W=0) for condition in study.conditions})
    widths = sorted({condition.W for condition in study.conditions})
    axis = width_axis(study.conditions)
    figure = Figure(figsize=(1.6 + 2.6 * len(columns), 2.9))
    grid = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    for axes, column in zip(grid, columns, strict=True):
        axes.set(
            xscale="log", xlabel=rf"$\tau\, {axis} / n$" if len(axis) == 1 else r"$\tau \cdot$ width $/ n$"
        )
        for place, W in enumerate(widths):
            members = [run for run in study.runs if study.of_run[run.run_id] == replace(column, W=W)]
            for n in study.n_values:
                runs = [run for run in members if run.n == n]
                _seeds_and_mean(
                    axes, runs, metrics.F_MEM, None, study.colour(n), "tau·W/n", LINES[place % len(LINES)]
                )
        axes.set_title(study.column_label(column))
    grid[0].set(ylabel=f"{F_MEM}  ($k$ = {study.k})")
    styles = [
        Line2D([], [], color="0.3", linestyle=LINES[place % len(LINES)], label=f"{axis} = {W:,}")
        for place, W in enumerate(widths)
    ]
    figure.legend(handles=[*_n_handles(study), *styles], title="$n$", loc="outside right center")
    figure.suptitle(study.title())
    return figure


def plot_losses(study: Study) -> Figure | str:
    """Train (dashed) and test loss against tau: a row per diffusion timestep, a column per condition, a colour per n."""
    at = sorted({t for run in study.runs for name, t in run.metrics if name == TEST_LOSS and t is not None})
    if not at:
        return "no losses were measured"
    columns = study.conditions
    figure = Figure(figsize=(1.3 + 2.1 * len(columns), 0.7 + 1.7 * len(at)))
    grid = figure.subplots(len(at), len(columns), sharex=True, sharey="row", squeeze=False)
    for row, t in zip(grid, at, strict=True):
        for axes, condition in zip(row, columns, strict=True):
            axes.set(xscale="log", yscale="log")
            for n in study.n_values:
                runs = [r for r in study.runs if r.n == n and study.of_run[r.run_id] == condition]
                _seeds_and_mean(axes, runs, TRAIN_LOSS, t, study.colour(n), "tau", "--")
                _seeds_and_mean(axes, runs, TEST_LOSS, t, study.colour(n), "tau")
        row[0].set(ylabel=f"loss at $t$ = {t:g}")
        plain_log(row[0].yaxis)
    for axes, condition in zip(grid[0], columns, strict=True):
        axes.set_title(study.label(condition))
    for axes in grid[-1]:
        axes.set_xlabel(TAU)
    styles = [
        Line2D([], [], color="0.3", linestyle="-", label="test"),
        Line2D([], [], color="0.3", linestyle="--", label="train"),
    ]
    figure.legend(handles=[*_n_handles(study), *styles], title="$n$", loc="outside right center")
    figure.suptitle(study.title())
    return figure
