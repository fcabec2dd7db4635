"""Words for medians, regimes and intervals, shared by tables and figures."""

from __future__ import annotations

from tausweep.orchestrator.analysis.runs.results import ClassRegime, Estimate, Timescale


def median(found: Timescale) -> str | float | None:
    """The median, or `> 800` where only a bound is known."""
    if found.censored is None:
        return found.tau.estimate
    return f"{'>' if found.censored == 'right' else '≤'} {found.bound:,.0f}"


def regime(found: ClassRegime) -> str:
    """Such as `mixed: classes 0, 1 memorised, 2, 3 not yet`."""
    memorised, not_yet = (", ".join(map(str, labels)) for labels in (found.memorised, found.not_yet))
    if memorised and not_yet:
        return f"mixed: classes {memorised} memorised, {not_yet} not yet"
    return f"no class memorised yet ({not_yet})" if not_yet else f"every class memorised ({memorised})"


def interval(estimate: Estimate) -> str | None:
    """Such as `0.41 … 0.79`, with ∞ on a side where it is open; None where there is none."""
    if estimate.low is None and estimate.high is None:
        return None
    low, high = (value if value is None else f"{value:.3g}" for value in (estimate.low, estimate.high))
    return f"{low or '−∞'} … {high or '∞'}"
