"""Laws, medians, regimes and intervals as text, for the terminal, the report and the figures."""

from __future__ import annotations

from tausweep.orchestrator.analysis.runs.results import ClassRegime, Estimate, Fit, Law, Timescale

SIGNS = {"right": ">", "left": "≤", None: ""}
"""What stands before the bound of a censored time."""


def no_fit(law: Fit | Law) -> str | None:
    """Why a law has no exponent; None if it has one."""
    return None if law.reason is None else f"no fit: {law.reason}"


def median(timescale: Timescale) -> str | float | None:
    """The median, or `> 800` where only a bound is known."""
    if timescale.censored is None:
        return timescale.tau.estimate
    return f"{SIGNS[timescale.censored]} {timescale.bound:,.0f}"


def regime(classes: ClassRegime) -> str:
    """Such as `mixed: classes 0, 1 memorised, 2, 3 not yet`."""
    memorised, not_yet = (", ".join(map(str, labels)) for labels in (classes.memorised, classes.not_yet))
    if memorised and not_yet:
        return f"mixed: classes {memorised} memorised, {not_yet} not yet"
    return f"no class memorised yet ({not_yet})" if not_yet else f"every class memorised ({memorised})"


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_interval(estimate: Estimate) -> str:
    """Such as `0.64 [0.38, 0.91]`; `[40, ∞)` where only a bound is known."""
    if estimate.low is None and estimate.high is None:
        return number(estimate.estimate)
    low = f"[{number(estimate.low)}" if estimate.low is not None else "(−∞"
    high = f"{number(estimate.high)}]" if estimate.high is not None else "∞)"
    return f"{number(estimate.estimate) + ' ' if estimate.estimate is not None else ''}{low}, {high}"


def interval(estimate: Estimate) -> str | None:
    """Such as `0.41 … 0.79`, with ∞ on a side where it is open; None where there is none."""
    if estimate.low is None and estimate.high is None:
        return None
    low, high = (value if value is None else f"{value:.3g}" for value in (estimate.low, estimate.high))
    return f"{low or '−∞'} … {high or '∞'}"
