"""Plots of timescales against n: the laws with their runs, and what the laws leave over.

Called by the figures; computes no fit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.results import Fit
from tausweep.orchestrator.figures.palette import COLOURS, LINES, MARKERS
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.figures.style import plain_log

_SYMBOLS = {"tau_mem": r"$\tau_\mathrm{mem}$", "tau_gen": r"$\tau_\mathrm{gen}$"}


def plot_tau_vs_n(study: Study) -> Figure | str:
    """A panel per criterion: every run as a point, censored ones as arrows at their bound, and the fits."""
    names = [
        name for name in study.result.criteria if any(fit.criterion == name for fit in study.result.fits)
    ]
    if not names:
        return "no criterion's curve was measured"
    columns = min(3, len(names)) if len(names) != 4 else 2
    rows = -(-len(names) // columns)
    lines = 2 if _long(study) else 1
    height = 2.5 + 0.16 * lines * len(study.conditions)
    figure = Figure(figsize=((3.1 if len(study.conditions) == 1 else 3.9) * columns, height * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _tau_panel(axes, study, [fit for fit in study.result.fits if fit.criterion == name])
    for axes in panels[len(names) :]:
        axes.remove()
    figure.suptitle(study.title())
    return figure


def _tau_panel(axes: Axes, study: Study, fits: Sequence[Fit]) -> None:
    span = np.array([study.n_values[0], study.n_values[-1]], dtype=np.float64)
    axes.set(xscale="log", yscale="log", xlabel="$n$ (training images)", ylabel=_SYMBOLS[fits[0].quantity])
    axes.set_xticks(study.n_values, [str(n) for n in study.n_values])
    axes.xaxis.set_minor_locator(NullLocator())
    handles = []
    for place, condition in enumerate(study.conditions):
        fit = next((fit for fit in fits if condition_of(fit) == condition), None)
        if fit is None:
            continue
        look: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "marker": MARKERS[place % len(MARKERS)],
        }
        line: Any = LINES[place % len(LINES)]
        aside = 1.04 ** (
            place - (len(study.conditions) - 1) / 2
        )  # so that conditions do not cover each other
        for run in study.result.runs:
            crossing = run.crossings.get(fit.criterion) if condition_of(run) == condition else None
            if crossing and crossing.tau is not None:
                axes.plot(run.n * aside, crossing.tau, **look, alpha=0.7, linestyle="", markeredgewidth=0)
            elif crossing and crossing.bound is not None:
                arrow = r"$\uparrow$" if crossing.censored == "right" else r"$\downarrow$"
                axes.plot(run.n * aside, crossing.bound, color=look["color"], marker=arrow, markersize=8)
        if fit.amplitude is not None and fit.exponent.estimate is not None:
            axes.plot(span, fit.amplitude * span**fit.exponent.estimate, color=look["color"], linestyle=line)
        handles.append(Line2D([], [], **look, linestyle=line, label=_law(fit, study, condition)))
    guide = next((fit.prefactor.estimate for fit in fits if fit.prefactor.estimate is not None), None)
    if guide is not None and fits[0].quantity == "tau_mem":
        axes.plot(span, guide * span, color="0.6", linestyle=":", linewidth=1, zorder=1)
        handles.append(Line2D([], [], color="0.6", linestyle=":", linewidth=1, label=r"$\propto n$"))
    axes.margins(y=0.1)  # arrows are as tall as that
    plain_log(axes.yaxis, decades=1)
    legend = axes.legend(
        handles=handles, title=fits[0].criterion, loc="lower left", bbox_to_anchor=(0, 1.0), alignment="left"
    )
    legend.get_title().set_fontweight("bold")


_SHORT = 28  # characters of a condition's name that fit into a panel beside its law


def _long(study: Study) -> bool:
    return any(len(study.label(condition)) > _SHORT for condition in study.conditions)


def _law(fit: Fit, study: Study, condition: Condition) -> str:
    if fit.exponent.estimate is None:
        law = "no fit"
    else:
        law = rf"$\propto n^{{{fit.exponent.estimate:.2f}}}$"
        if fit.exponent.low is not None and fit.exponent.high is not None:
            law += f" [{fit.exponent.low:.2f}, {fit.exponent.high:.2f}]".replace("-", "−")
    censored = f", {fit.n_censored} of {fit.n_points + fit.n_censored} censored" if fit.n_censored else ""
    label = study.label(condition)
    between = ":\n" if _long(study) else ": "
    return f"{label + between if label else ''}{law}{censored}"


def plot_residuals(study: Study) -> Figure | str:
    """Ln tau minus its law, in units of sigma, against n; arrows for runs whose tau lies beyond their bound."""
    fitted = [fit for fit in study.result.fits if fit.diagnostics is not None]
    names = [name for name in study.result.criteria if any(fit.criterion == name for fit in fitted)]
    if not names:
        return "no law has more runs than coefficients"
    columns = min(3, len(names)) if len(names) != 4 else 2
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _residual_panel(axes, study, [fit for fit in fitted if fit.criterion == name])
        axes.set_title(name, loc="left", fontweight="bold")
    for axes in panels[len(names) :]:
        axes.remove()
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], linestyle="",
               label=study.label(condition))
        for i, condition in enumerate(study.conditions)
    ]  # fmt: skip
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
    figure.suptitle(study.title())
    return figure


def _residual_panel(axes: Axes, study: Study, fits: Sequence[Fit]) -> None:
    axes.set(xscale="log", xlabel="$n$ (training images)", ylabel=r"residual / $\sigma$")
    axes.set_xticks(study.n_values, [str(n) for n in study.n_values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axhspan(-1.96, 1.96, color="0.94", zorder=0)  # 95 % of them
    axes.axhline(0, color="0.5", linewidth=0.8)
    for fit in fits:
        place = study.conditions.index(condition_of(fit))
        colour = COLOURS[place % len(COLOURS)]
        for run in study.result.runs:
            crossing = run.crossings.get(fit.criterion) if condition_of(run) == condition_of(fit) else None
            tau = None if crossing is None else crossing.tau if crossing.tau is not None else crossing.bound
            if crossing is None or tau is None or fit.amplitude is None or fit.exponent.estimate is None:
                continue
            assert fit.diagnostics is not None
            law = np.log(fit.amplitude) + fit.exponent.estimate * np.log(run.n)
            residual = (np.log(tau) - law) / fit.diagnostics.sigma
            if crossing.censored is None:
                axes.plot(
                    run.n,
                    residual,
                    color=colour,
                    marker=MARKERS[place % len(MARKERS)],
                    alpha=0.8,
                    markeredgewidth=0,
                )
            else:
                arrow = r"$\uparrow$" if crossing.censored == "right" else r"$\downarrow$"
                axes.plot(run.n, residual, color=colour, marker=arrow, markersize=8)
