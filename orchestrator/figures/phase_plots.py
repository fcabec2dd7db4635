"""The plot of the (n, p) plane: what runs do at every measured point, the boundaries n*(p; tau), and the architectural line.

Called by the figures; computes no fit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import condition_of, width_words
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import ArchitecturalLine, Boundary, Estimate
from tausweep.orchestrator.figures.n_star import (
    budgets_in_words,
    earlier_boundaries,
    line_at,
    lines_in_sight,
    open_at,
)
from tausweep.orchestrator.figures.palette import BOUNDARY, CONVERGED_LINE, OPEN_LINE, STATES, Mark
from tausweep.orchestrator.figures.study import Study

_ABOVE, _ASIDE = 8.0, 6.0  # points


def plot_phase_diagram(study: Study, *, theory: bool = False) -> Figure | str:
    """The (n, p) plane, a marker per state, tau_mem beside it, n*(p; tau) at several tau; a column for all but W.

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
            mark = STATES[point.state]
            axes.plot(point.n, point.p, marker=mark.marker, color=mark.colour, markersize=7, linestyle="")
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
        axes.set_ylim(widths[0][0] / 1.7, widths[-1][0] * 1.9)
        left, right = axes.get_xlim()
        _boundaries(axes, study, column, theory=theory)
        _line(axes, study, column)
        # Intervals may leave the plane, the estimates in it may not.
        axes.set_xlim(left, max([right, *(1.2 * _middle(line) for line in lines_in_sight(study.result))]))
    grid[0].set_ylabel("$p$ (parameters)")
    handles = _handles(study, columns, {point.state for _, point in points}, theory=theory)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2 * len(columns), len(handles)))
    criterion = study.result.criteria[0]
    figure.suptitle(f"{study.title()}\n$\\tau_\\mathrm{{mem}}$ below each marker ({criterion})")
    return figure


def _boundaries(axes: Axes, study: Study, column: Condition, *, theory: bool) -> None:
    """n*(p; tau) at several tau in grey, the later the darker, and in black that of each width at its own last tau."""
    above: dict[str, Any] = {"transform": _above(axes, _ABOVE), "linewidth": 1, "zorder": 1}
    earlier = earlier_boundaries(study.result, column)
    for boundary, shade in zip(earlier, _greys(len(earlier)), strict=True):
        n_star, p = zip(*((_middle(at), at.p) for at in boundary.ends), strict=True)
        axes.plot(n_star, p, color=shade, marker=BOUNDARY.marker, markersize=3, **above)
    last = [at for at in _last(study) if replace(condition_of(at), W=0) == column]
    axes.plot([_middle(at) for at in last], [at.p for at in last], color=BOUNDARY.colour, **above)
    for at in last:
        _interval(axes, at.n_star, at.p, BOUNDARY, _ABOVE)
    known = [(at.p, at.n_star.estimate) for at in last if at.n_star.estimate is not None]
    if known and theory:
        widths, sizes = np.array(known).T
        ends = np.array([widths[0] / 1.5, widths[-1] * 1.5])
        axes.plot(ends * np.exp(np.mean(np.log(sizes / widths))), ends, color="0.4", linestyle=":", zorder=1)


def _last(study: Study) -> list[Boundary]:
    """The last boundaries of which anything is known, in the order of p."""
    return sorted(
        (at for at in last_boundaries(study.result) if line_at(at) is not None), key=lambda at: at.p
    )


def _line(axes: Axes, study: Study, column: Condition) -> None:
    """The architectural line: solid between widths where it has converged, dashed elsewhere."""
    lines = [line for line in lines_in_sight(study.result) if replace(condition_of(line), W=0) == column]
    lines.sort(key=lambda line: line.p)
    for one, other in pairwise(lines):
        axes.plot(
            [_middle(one), _middle(other)],
            [one.p, other.p],
            color=CONVERGED_LINE.colour,
            linewidth=1.4,
            linestyle="-" if one.converged and other.converged else "--",
            transform=_above(axes, 2 * _ABOVE),
            zorder=1,
        )
    for line in lines:
        _interval(axes, line.n_star, line.p, CONVERGED_LINE if line.converged else OPEN_LINE, 2 * _ABOVE)


def _middle(end: ArchitecturalLine | Boundary) -> float:
    at = line_at(end)
    assert at is not None
    return at


def _greys(count: int) -> list[str]:
    """From light to dark."""
    return [f"{grey:.2f}" for grey in np.linspace(0.75, 0.45, count)]


def _interval(axes: Axes, n_star: Estimate, p: float, mark: Mark, points: float) -> None:
    """An estimate with its interval, an arrow on a side where it is open; above its p, so that marks of runs stay visible."""
    ends = [value for value in (n_star.low, n_star.estimate, n_star.high) if value is not None]
    if not ends:
        return
    look: dict[str, Any] = {"color": mark.colour, "transform": _above(axes, points)}
    axes.plot([ends[0], ends[-1]], [p, p], linewidth=1, **look)
    if n_star.estimate is not None:
        axes.plot(n_star.estimate, p, marker=mark.marker, markersize=4.5, linestyle="", **look)
    for end, known, arrow, aside in (
        (ends[0], n_star.low, "$\\leftarrow$", -_ASIDE),
        (ends[-1], n_star.high, "$\\rightarrow$", _ASIDE),
    ):
        if known is None and len({n_star.low, n_star.high} - {None}) == 1:
            look["transform"] = _above(axes, points, aside)
            axes.plot(end, p, marker=cast("Any", arrow), markersize=9, linestyle="", **look)


def _above(axes: Axes, points: float, aside: float = 0.0) -> Transform:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return axes.transData + ScaledTranslation(aside / 72, points / 72, figure.dpi_scale_trans)


def _handles(
    study: Study, columns: Sequence[Condition], present: set[str | None], *, theory: bool
) -> list[Line2D]:
    look: dict[str, Any] = {"linestyle": "", "markersize": 6}
    result = study.result
    handles = [
        Line2D([], [], marker=mark.marker, color=mark.colour, label=mark.words, **look)
        for state, mark in STATES.items()
        if state in present
    ]
    look = {"marker": BOUNDARY.marker, "markersize": 3, "linewidth": 1}
    drawn = [earlier_boundaries(result, column) for column in columns]
    greys = {at.budget: grey for of in drawn for at, grey in zip(of, _greys(len(of)), strict=True)}
    for budget, grey in sorted(greys.items()):
        handles.append(Line2D([], [], color=grey, label=f"$n^*(p;\\ \\tau = {budget:,})$", **look))
    if last := _last(study):
        words = f"$n^*(p;\\ \\tau = $ {budgets_in_words(last)}), 95 %"
        handles.append(Line2D([], [], color=BOUNDARY.colour, label=words, **look))
    shown = lines_in_sight(result)
    look = {"color": CONVERGED_LINE.colour, "linewidth": 1.4}
    if any(line.converged for line in shown):
        words = f"{CONVERGED_LINE.words}, 95 %"
        handles.append(Line2D([], [], marker=CONVERGED_LINE.marker, label=words, **look))
    if not all(line.converged for line in shown):
        words = f"{OPEN_LINE.words} at $\\tau$ = {open_at(result)}"
        handles.append(Line2D([], [], marker=OPEN_LINE.marker, linestyle="--", label=words, **look))
    if theory and any(at.n_star.estimate is not None for at in last_boundaries(result)):
        handles.append(Line2D([], [], color="0.4", linestyle=":", label="random features: $n^* \\propto p$"))
    return handles
