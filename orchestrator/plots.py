"""The plots over tau, n and p: each takes a study and gives a Figure, or the reason why there is none.

Called by the figures, which set the style and write the files; computes no fit of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from orchestrator.curves import Condition, RunCurves
from orchestrator.results import Fit, FitResult, PhasePoint, RunTimescales

_TAU, _F_MEM = r"$\tau$ (optimiser updates)", r"$f_\mathrm{mem}$"
_SYMBOLS = {"tau_mem": r"$\tau_\mathrm{mem}$", "tau_gen": r"$\tau_\mathrm{gen}$"}
# Okabe & Ito's colours, which stay apart for the colour-blind.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_STATES = {
    "memorises": ("o", "#D55E00", "memorises"),
    "generalises": ("s", "#0072B2", "generalises"),
    "not yet good": ("v", "#999999", "not yet good"),
    None: ("x", "#000000", "not measured"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A FitResult with the curves it came from, and the words and colours that all plots share."""

    result: FitResult
    runs: list[RunCurves]
    of_run: dict[str, Condition]

    @cached_property
    def conditions(self) -> list[Condition]:
        """In the order of columns and colours."""
        return sorted(set(self.of_run.values()))

    @cached_property
    def n_values(self) -> list[int]:
        """Training-set sizes, ascending."""
        return sorted({run.n for run in self.runs})

    def colour(self, n: int) -> str:
        """Viridis, evenly over the values of n."""
        place = self.n_values.index(n) / max(1, len(self.n_values) - 1)
        return to_hex(mpl.colormaps["viridis"](0.9 * place))  # the brightest yellow is lost on white

    @property
    def k(self) -> str:
        """The gap ratio's threshold as the paper writes it."""
        return "1/3" if math.isclose(self.result.k, 1 / 3) else f"{self.result.k:g}"

    def label(self, condition: Condition) -> str:
        """What tells this condition from the others; empty if there is only one."""
        return ", ".join(
            p for p in _parts(condition) if any(p not in _parts(other) for other in self.conditions)
        )

    def title(self) -> str:
        """Sweep and data, and below it what else all runs have in common."""
        shared = [
            p for p in _parts(self.conditions[0]) if all(p in _parts(other) for other in self.conditions)
        ]
        data = ", ".join(sorted({str(run.settings["data"]) for run in self.runs}))
        return f"{self.result.sweep} · {data}\n{' · '.join(shared)}".rstrip()


def _parts(condition: Condition) -> list[str]:
    settings = [
        f"{name} = {value[1:9] if name == 'fingerprint' else value}" for name, value in condition.settings
    ]
    return [f"W = {condition.W}", condition.optimizer, f"batch {condition.batch}", *settings]


def plot_curves(study: Study, *, collapsed: bool) -> Figure | str:
    """f_mem above frechet_pca, a column a condition, a colour an n: seeds thin, their mean thick."""
    measures = ("f_mem", "frechet_pca")
    if not any(run.curve(measure) for run in study.runs for measure in measures):
        return "neither neighbours nor frechet_pca were measured"
    columns = study.conditions
    figure = Figure(figsize=(1.3 + 2.1 * len(columns), 4.4))
    grid = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for row, measure in zip(grid, measures, strict=True):
        for axes, condition in zip(row, columns, strict=True):
            _curve_panel(axes, study, condition, measure, collapsed)
    grid[0][0].set(ylabel=f"{_F_MEM}  ($k$ = {study.k})")
    if any(run.curve("f_mem") for run in study.runs):
        grid[0][0].set_ylim(bottom=-0.02, top=max(0.2, grid[0][0].get_ylim()[1]))
    grid[1][0].set(ylabel="frechet_pca")
    if any(run.curve("frechet_pca") for run in study.runs):
        grid[1][0].set_yscale("log")
        _plain_log(grid[1][0].yaxis)
    for axes, condition in zip(grid[0], columns, strict=True):
        axes.set_title(study.label(condition))
    for axes in grid[1]:
        axes.set_xlabel(r"$\tau / n$ (optimiser updates an image)" if collapsed else _TAU)
    handles = [Line2D([], [], color=study.colour(n), label=str(n)) for n in study.n_values]
    figure.legend(handles=handles, title="$n$", loc="outside right center")
    figure.suptitle(study.title())
    return figure


def _curve_panel(axes: Axes, study: Study, condition: Condition, measure: str, collapsed: bool) -> None:
    axes.set_xscale("log")
    for n in study.n_values:
        runs = [run for run in study.runs if run.n == n and study.of_run[run.run_id] == condition]
        _seeds_and_mean(axes, runs, measure, study.colour(n), n if collapsed else 1)
    if not axes.lines:
        text = f"{measure}\nnot measured"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.grid(visible=False)
        axes.tick_params(axis="y", which="both", left=False, labelleft=False)


def _seeds_and_mean(axes: Axes, runs: Sequence[RunCurves], measure: str, colour: str, unit: int) -> None:
    curves = [curve for run in runs if (curve := run.curve(measure))]
    for curve in curves if len(curves) > 1 else ():
        axes.plot(curve.tau / unit, curve.value, color=colour, linewidth=0.6, alpha=0.5)
    # The mean ends where the first seed ends: beyond, its members would change along the line.
    common = sorted(set.intersection(*(set(curve.tau.tolist()) for curve in curves))) if curves else []
    if common:
        mean = np.mean([curve.value[np.isin(curve.tau, common)] for curve in curves], axis=0)
        marker = "o" if len(common) == 1 else None
        axes.plot(np.array(common) / unit, mean, color=colour, marker=marker)


def plot_tau_vs_n(study: Study) -> Figure | str:
    """A panel a criterion: every run as a point, censored ones as arrows at their bound, and the fits."""
    names = [
        name for name in study.result.criteria if any(fit.criterion == name for fit in study.result.fits)
    ]
    if not names:
        return "no criterion's curve was measured"
    columns = len(names) if len(names) <= 3 else 2
    rows = -(-len(names) // columns)
    height = 2.5 + 0.16 * len(study.conditions)
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
        fit = next((fit for fit in fits if _condition(fit) == condition), None)
        if fit is None:
            continue
        look: dict[str, Any] = {
            "color": _COLOURS[place % len(_COLOURS)],
            "marker": _MARKERS[place % len(_MARKERS)],
        }
        line: Any = _LINES[place % len(_LINES)]
        aside = 1.04 ** (
            place - (len(study.conditions) - 1) / 2
        )  # so that conditions do not cover each other
        for run in study.result.runs:
            found = run.crossings.get(fit.criterion) if _condition(run) == condition else None
            if found and found.tau is not None:
                axes.plot(run.n * aside, found.tau, **look, alpha=0.7, linestyle="", markeredgewidth=0)
            elif found and found.bound is not None:
                arrow = r"$\uparrow$" if found.censored == "right" else r"$\downarrow$"
                axes.plot(run.n * aside, found.bound, color=look["color"], marker=arrow, markersize=8)
        if fit.amplitude is not None and fit.exponent.estimate is not None:
            axes.plot(span, fit.amplitude * span**fit.exponent.estimate, color=look["color"], linestyle=line)
        handles.append(Line2D([], [], **look, linestyle=line, label=_law(fit, study.label(condition))))
    guide = next((fit.prefactor.estimate for fit in fits if fit.prefactor.estimate is not None), None)
    if guide is not None and fits[0].quantity == "tau_mem":
        axes.plot(span, guide * span, color="0.6", linestyle=":", linewidth=1, zorder=1)
        handles.append(Line2D([], [], color="0.6", linestyle=":", linewidth=1, label=r"$\propto n$"))
    _plain_log(axes.yaxis, decades=1)
    legend = axes.legend(
        handles=handles, title=fits[0].criterion, loc="lower left", bbox_to_anchor=(0, 1.0), alignment="left"
    )
    legend.get_title().set_fontweight("bold")


def _plain_log(axis: Axis, decades: float = 0) -> None:
    """Ticks as plain numbers, 1-2-5 where two decades or less are shown; at least `decades` are."""
    low, high = np.log10(axis.get_view_interval())
    missing = max(0.0, decades - (high - low)) / 2  # a noisy constant must not look like a trend
    axis.set_view_interval(10 ** (low - missing), 10 ** (high + missing), ignore=True)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low <= 2 else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _condition(value: Fit | PhasePoint | RunTimescales) -> Condition:
    settings = tuple(sorted(value.settings.items()))
    return Condition(W=value.W, optimizer=value.optimizer, batch=value.batch, settings=settings)


def _law(fit: Fit, label: str) -> str:
    if fit.exponent.estimate is None:
        law = "no fit"
    else:
        law = rf"$\propto n^{{{fit.exponent.estimate:.2f}}}$"
        if fit.exponent.low is not None and fit.exponent.high is not None:
            law += f" [{fit.exponent.low:.2f}, {fit.exponent.high:.2f}]".replace("-", "−")
    censored = f", {fit.n_censored} of {fit.n_points + fit.n_censored} censored" if fit.n_censored else ""
    return f"{label + ': ' if label else ''}{law}{censored}"


def plot_phase_diagram(study: Study) -> Figure | str:
    """The (n, p) plane, a marker a state, tau_mem beside the marker; a column for all but W."""
    points = [(_condition(point), point) for point in study.result.phase_diagram]
    columns = sorted({replace(condition, W=0) for condition, _ in points})
    widths = sorted({(point.p, point.W) for _, point in points})
    figure = Figure(figsize=(1.5 + 2.4 * len(columns), 1.7 + 0.5 * len(widths)))
    grid = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    for axes, column in zip(grid, columns, strict=True):
        own = [(condition, point) for condition, point in points if replace(condition, W=0) == column]
        axes.set(xscale="log", yscale="log", xlabel="$n$ (training images)")
        for _, point in own:
            marker, colour, _ = _STATES[point.state]
            axes.plot(point.n, point.p, marker=marker, color=colour, markersize=7, linestyle="")
            if point.tau_mem is not None:
                note = f"{point.tau_mem:.0f}" if point.tau_mem < 1000 else f"{point.tau_mem / 1000:.1f}k"
                axes.annotate(
                    note,
                    (point.n, point.p),
                    (0, -7),
                    textcoords="offset points",
                    size=6.5,
                    ha="center",
                    va="top",
                )
        labels = {
            study.label(condition).removeprefix(f"W = {point.W}").lstrip(", ") for condition, point in own
        }
        axes.set_title(", ".join(sorted(labels)))
        axes.set_xticks(study.n_values, [str(n) for n in study.n_values])
        axes.set_yticks([p for p, _ in widths], [f"{p:,} (W = {W})" for p, W in widths])
        axes.minorticks_off()
        axes.margins(0.12)
        axes.set_ylim(widths[0][0] / 1.7, widths[-1][0] * 1.5)
    grid[0].set_ylabel("$p$ (parameters)")
    states = [state for state in _STATES if any(point.state == state for _, point in points)]
    handles = [
        Line2D(
            [], [], marker=_STATES[s][0], color=_STATES[s][1], linestyle="", markersize=6, label=_STATES[s][2]
        )
        for s in states
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.suptitle(f"{study.title()}\n{_SYMBOLS['tau_mem']} below each marker ({study.result.criteria[0]})")
    return figure
