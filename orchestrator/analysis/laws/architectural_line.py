"""The architectural-regularisation line: n*(p) beyond which memorisation never comes, however long one trains.

Called by the resolver with one crossing per run of one width. Bonnaire et al. (arXiv:2505.17638) find that for n above some
n*(p) a network of p parameters generalises for good. Here the approach to it has the simplest form with a limit,

    tau_mem = a · n^alpha / (1 − n/n_star),

in which n_star = ∞ is the plain power law. n_star is found by profile likelihood over 1/n_star with right-censored runs
kept; if ∞ is not rejected, the boundary still moves as far as can be seen and no line is claimed. Nor is one claimed
beyond the n that were trained: there it would rest on the form alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from tausweep.orchestrator.analysis.criteria.first_crossing import RIGHT, Floats
from tausweep.orchestrator.analysis.laws.power_laws import Crossed, crossed, informative, responses_of
from tausweep.orchestrator.analysis.runs.grouping import by_condition, condition_of, described
from tausweep.orchestrator.analysis.runs.results import ArchitecturalLine, Boundary, Estimate, RunTimescales
from tausweep.orchestrator.analysis.statistics.censored_regression import (
    Responses,
    fit_censored,
    is_determined,
    threshold,
)

_GRID = 60
_PARAMETERS = 3  # a, alpha, n_star


class Limit(NamedTuple):
    """n_star with its profile-likelihood interval; None where it is not known or the interval is open."""

    estimate: float | None
    low: float | None
    high: float | None
    reason: str | None


def fit_limit(runs: Sequence[Crossed], confidence: float) -> Limit:
    """Fit n_star to the runs of one condition.

    Runs of n ≥ n_star have probability 1 not to cross; those that did cross have n < n_star.

    Args:
        runs: with a crossing or a bound each; others are left out.
        confidence: of the interval.
    """
    known = informative(runs)
    seen = [run for run in known if run.crossing.tau is not None]
    n = np.array([run.n for run in known], dtype=np.float64)
    if len({run.n for run in seen}) < _PARAMETERS:
        return Limit(None, None, None, f"crossings at {len({run.n for run in seen})} n; three are needed")
    responses = responses_of(known)
    if int(responses.seen.sum()) <= _PARAMETERS:
        return Limit(None, None, None, f"{len(seen)} runs crossed; more than {_PARAMETERS} are needed")
    largest = float(n[responses.seen | (responses.censored != RIGHT)].max())

    def log_likelihood(u: float) -> float:
        return _profile(n, responses, u / largest)

    grid = np.linspace(0, 1, _GRID, endpoint=False)
    values = np.array([log_likelihood(u) for u in grid])
    place = int(values.argmax())
    edge = grid[1]
    around = (max(0.0, grid[place] - edge), min(1 - 1e-6, grid[place] + edge))
    best = minimize_scalar(lambda u: -log_likelihood(u), bounds=around, method="bounded")
    top_u, top = (
        (float(best.x), -float(best.fun)) if -best.fun > values[place] else (grid[place], values[place])
    )
    allowed = threshold(responses, _PARAMETERS, confidence)

    def excess(u: float) -> float:
        return top - log_likelihood(u) - allowed

    inner = 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, top_u))
    near = 1 - 1e-6
    outer = near if excess(near) <= 0 else float(brentq(excess, max(top_u, 1e-12), near))
    return Limit(
        largest / top_u if top_u > 0 else None,
        largest / outer,
        largest / inner if inner > 0 else None,
        None,
    )


def _profile(n: Floats, responses: Responses, inverse: float) -> float:
    """Largest ln L with 1/n_star held; −∞ where the rest cannot be fitted."""
    below = n * inverse < 1
    X = np.column_stack([np.ones(int(below.sum())), np.log(n[below])])
    kept = Responses(responses.value[below] + np.log1p(-n[below] * inverse), responses.censored[below])
    return fit_censored(X, kept).log_likelihood if is_determined(X, kept) else -np.inf


def lines(
    runs: Sequence[RunTimescales], criterion: str, bounds: Sequence[Boundary], confidence: float
) -> Iterator[ArchitecturalLine]:
    """The line of every condition that measured the criterion.

    Args:
        runs: of a sweep.
        criterion: of tau_mem.
        bounds: n*(p; tau) of these runs at several budgets.
        confidence: of the intervals.
    """
    for group in by_condition(runs, criterion):
        members = crossed(group, criterion)
        limit = fit_limit(members, confidence)
        largest = max(run.n for run in group)
        own = {b.budget: b.n_star.estimate for b in bounds if condition_of(b) == condition_of(group[0])}
        seen = sum(run.crossing.tau is not None for run in members)
        yield ArchitecturalLine(
            **described(group[0]),
            criterion=criterion,
            n_star=Estimate(estimate=limit.estimate if limit.high else None, low=limit.low, high=limit.high),
            converged=limit.high is not None and limit.high <= largest,
            growth=_growth(own),
            n_points=seen,
            n_censored=len(members) - seen,
            verdict=_verdict(limit, largest),
        )


def _verdict(limit: Limit, largest: int) -> str:
    if limit.reason:
        return f"not converged: {limit.reason}"
    if limit.high is None:
        return "not converged: a power law without a line is not rejected, n* may lie anywhere above the lower bound"
    if limit.high > largest:
        return (
            f"not converged: tau_mem bends upwards as before a line, but the line may lie beyond the largest n = {largest} "
            "that was trained"
        )
    return "converged: a power law without a line is rejected, and n beyond the line were trained"


def _growth(n_star: dict[int, float | None]) -> float | None:
    """D ln n* / d ln tau from half of the largest budget (or the budget nearest to it) to the largest."""
    if len(n_star) < 2:
        return None
    last = max(n_star)
    half = min(
        (budget for budget in n_star if budget != last), key=lambda budget: abs(np.log(2 * budget / last))
    )
    above, below = n_star[last], n_star[half]
    return None if above is None or below is None else float(np.log(above / below) / np.log(last / half))
