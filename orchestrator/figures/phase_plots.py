"""The plot of the (n, p) plane: what runs do at every measured point, the boundary n*(p), and the architectural line.

Called by the figures; computes no fit of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import condition_of, width_words
from tausweep.orchestrator.analysis.runs.results import ArchitecturalLine, Estimate
from tausweep.orchestrator.figures.study import Study

STATES: dict[str | None, tuple[str, str, str]] = {
    "memorises": ("o", "#D55E00", "memorises"),
    "generalises": ("s", "#0072B2", "generalises"),
    "not yet good": ("v", "#999999", "not yet good"),
    None: ("x", "#000000", "not measured"),
}
"""State → marker, colour, words."""
_ABOVE = 8.0  # points
_FAR = 4.0  # times the largest n: a line extrapolated beyond is left to the tables


def plot_phase_diagram(study: Study, *, theory: bool = False) -> Figure | str:
    """The (n, p) plane, a marker per state, tau_mem beside it, n*(p; tau) at the largest tau; a column for all but W.

    Args:
        study: with at least one run.
        theory: adds n* ∝ p, the slope of the architectural line in the random-features model at p, n ≫ d, through the
            estimates of n*.
    """
    points = [(condition_of(point), point) for point in study.result.phase_diagram]
    columns = sorted({replace(condition, W=0) for condition, _ in points})
    widths = sorted({(point.p, width_words(point) if point.width_axis == "W" else "") for _, point in points})
    figure = Figure(figsize=(1.9 + 2.9 * len(columns), 2.2 + 0.6 * len(widths)))
    grid = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    for axes, column in zip(grid, columns, strict=True):
        axes.set(xscale="log", yscale="log", xlabel="$n$ (training images)")
        for condition, point in points:
            if replace(condition, W=0) != column:
                continue
            marker, colour, _ = STATES[point.state]
            axes.plot(point.n, point.p, marker=marker, color=colour, markersize=7, linestyle="")
            if point.tau_mem is not None:
                note = f"{point.tau_mem:.0f}" if point.tau_mem < 1000 else f"{point.tau_mem / 1000:.1f}k"
                axes.annotate(note, (point.n, point.p), (0, -7), textcoords="offset points", size=6.5, ha="center",
                              va="top")  # fmt: skip
        axes.set_title(study.column_label(column))
        axes.set_xticks(study.n_values, [str(n) for n in study.n_values])
        axes.set_yticks(
            [p for p, _ in widths], [f"{p:,}" + (f" ({words})" if words else "") for p, words in widths]
        )
        axes.minorticks_off()
        axes.margins(0.12)
        axes.set_ylim(widths[0][0] / 1.7, widths[-1][0] * 1.5)
        left, right = axes.get_xlim()
        _boundary(axes, study, column, theory=theory)
        # Intervals may leave the plane, the estimates in it may not.
        axes.set_xlim(
            left, max([right, *(1.2 * n_star for line in _near(study) if (n_star := line.n_star.estimate))])
        )
    grid[0].set_ylabel("$p$ (parameters)")
    handles = _handles(study, {point.state for _, point in points}, theory=theory)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2 * len(columns), len(handles)))
    criterion = study.result.criteria[0]
    figure.suptitle(f"{study.title()}\n$\\tau_\\mathrm{{mem}}$ below each marker ({criterion})")
    return figure


def _boundary(axes: Axes, study: Study, column: Condition, *, theory: bool) -> None:
    """n* of each width with its interval, an arrow where it is open, and the limit in tau where there is one."""
    last = [
        boundary
        for boundary in study.result.boundaries
        if boundary.budget == study.result.budgets[-1] and replace(condition_of(boundary), W=0) == column
    ]
    for boundary in last:
        _interval(axes, boundary.n_star, boundary.p, "#000000", "D", _ABOVE)
    known = sorted(
        (boundary.p, boundary.n_star.estimate) for boundary in last if boundary.n_star.estimate is not None
    )
    if known:
        p, n_star = np.array(known).T
        axes.plot(n_star, p, color="#000000", linewidth=1, zorder=1, transform=_above(axes, _ABOVE))
        if theory:
            ends = np.array([p[0] / 1.5, p[-1] * 1.5])
            axes.plot(ends * np.exp(np.mean(np.log(n_star / p))), ends, color="0.4", linestyle=":", zorder=1)
    for line in _near(study):
        if replace(condition_of(line), W=0) == column:
            _interval(axes, line.n_star, line.p, "#009E73", "P" if line.converged else "x", 2 * _ABOVE)


def _near(study: Study) -> list[ArchitecturalLine]:
    """Architectural lines with an estimate that is in sight of the n that were trained."""
    most = _FAR * study.n_values[-1]
    return [
        line
        for line in study.result.lines
        if line.n_star.estimate is not None and line.n_star.estimate <= most
    ]


def _interval(axes: Axes, n_star: Estimate, p: float, colour: str, marker: str, points: float) -> None:
    """An estimate with its interval, some points above its p, so that the markers of runs stay visible."""
    look: dict[str, Any] = {"color": colour, "transform": _above(axes, points)}
    if n_star.estimate is not None:
        axes.plot(n_star.estimate, p, marker=marker, markersize=4.5, linestyle="", **look)
    low, high = n_star.low, n_star.high
    if low is not None and high is not None:
        axes.plot([low, high], [p, p], linewidth=1, **look)
    elif (end := low if low is not None else high) is not None:
        arrow: Any = "$\\rightarrow$" if low is not None else "$\\leftarrow$"
        axes.plot([end], [p], marker=arrow, markersize=11, linestyle="", **look)


def _above(axes: Axes, points: float) -> Transform:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return axes.transData + ScaledTranslation(0, points / 72, figure.dpi_scale_trans)


def _handles(study: Study, present: set[str | None], *, theory: bool) -> list[Line2D]:
    look: dict[str, Any] = {"linestyle": "", "markersize": 6}
    handles = [
        Line2D([], [], marker=marker, color=colour, label=words, **look)
        for state, (marker, colour, words) in STATES.items()
        if state in present
    ]
    if study.result.boundaries:
        words = f"$n^*(p;\\ \\tau = {study.result.budgets[-1]:,})$, 95 %"
        handles.append(Line2D([], [], marker="D", color="#000000", markersize=4.5, linewidth=1, label=words))
    for converged, marker, words in (
        (True, "P", "architectural line, 95 %"),
        (False, "x", "line, extrapolated, not converged"),
    ):
        if any(line.converged == converged for line in _near(study)):
            handles.append(Line2D([], [], marker=marker, color="#009E73", linewidth=1, label=words))
    last = study.result.budgets[-1:]
    if theory and any(f.n_star.estimate is not None for f in study.result.boundaries if [f.budget] == last):
        handles.append(Line2D([], [], color="0.4", linestyle=":", label="random features: $n^* \\propto p$"))
    return handles
