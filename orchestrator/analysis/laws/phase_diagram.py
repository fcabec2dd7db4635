"""The phase diagram in (n, p) for a training budget: the state of each point, and the boundary.

Called by the resolver, and by the report for every value of its slider. Takes the crossings of runs; a run
that ended before the budget without a crossing says nothing about it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import by_condition, condition_of, described
from tausweep.orchestrator.analysis.runs.results import Boundary, Estimate, PhasePoint, RunTimescales, State
from tausweep.orchestrator.analysis.statistics.boundary_posterior import BoundaryPosterior, decide

_BUDGETS = 24


def budgets_of(runs: Sequence[RunTimescales], criterion: str) -> list[int]:
    """Budgets for a slider: at most 24, log-spaced from just below the first crossing to the largest tau.

    The last budget of every condition is among them: not all are trained equally long.
    """
    if not runs:
        return []
    last = max(run.budget for run in runs)
    own = {max(run.budget for run in group) for group in by_condition(runs, criterion)} | {last}
    crossings = [crossing for run in runs if (crossing := run.crossings.get(criterion))]
    early = [known for c in crossings if c.censored != "right" and (known := c.tau or c.bound)]
    if not early or min(early) >= last:
        return sorted(own)
    grid = np.geomspace(max(1.0, 0.8 * min(early)), last, _BUDGETS)
    return sorted({round(tau) for tau in grid[:-1]} | own)


def phase_points(
    runs: Sequence[RunTimescales], tau_mem: str, tau_gen: str, budget: int | None = None
) -> list[PhasePoint]:
    """A point per condition and n.

    Args:
        runs: of a sweep.
        tau_mem: name of the criterion that decides on memorisation.
        tau_gen: name of the criterion of good samples.
        budget: tau up to which runs count; None for the largest of each point. A point that was not trained so long counts
            up to its own largest.
    """
    groups: dict[tuple[Condition, int], list[RunTimescales]] = defaultdict(list)
    for run in runs:
        groups[condition_of(run), run.n].append(run)
    return [_point(groups[key], tau_mem, tau_gen, budget) for key in sorted(groups)]


def _point(runs: Sequence[RunTimescales], tau_mem: str, tau_gen: str, budget: int | None) -> PhasePoint:
    longest = max(run.budget for run in runs)
    budget = longest if budget is None else min(budget, longest)
    mem, gen = (_decided(runs, name, budget) for name in (tau_mem, tau_gen))
    crossed = [crossing for crossing, within in mem if within]
    good = [crossing for crossing, within in gen if within]
    state: State | None = None
    if mem and 2 * len(crossed) >= len(mem):
        state = "memorises"
    elif mem and gen:
        state = "generalises" if 2 * len(good) >= len(gen) else "not yet good"
    return PhasePoint(
        **described(runs[0]),
        n=runs[0].n,
        state=state,
        tau_mem=_geometric_median(crossed),
        tau_gen=_geometric_median(good),
        budget=budget,
        n_runs=len(mem),
        n_crossed=len(crossed),
    )


def _decided(runs: Sequence[RunTimescales], criterion: str, budget: int) -> list[tuple[Crossing, bool]]:
    """Crossings of runs that are informative about a budget, and whether each is within it."""
    decided = []
    for run in runs:
        crossing = run.crossings.get(criterion)
        if crossing is None:
            continue
        if known := decide(run.n, crossing, budget):
            decided.append((crossing, known.memorises))
        elif crossing.censored == "right" and run.budget >= budget:
            decided.append((crossing, False))  # its level was not settled, so it does not count as reached
    return decided


def _geometric_median(crossings: Iterable[Crossing]) -> float | None:
    taus = sorted(crossing.tau for crossing in crossings if crossing.tau is not None)
    if not taus:
        return None
    low, high = taus[(len(taus) - 1) // 2], taus[len(taus) // 2]
    return low if low == high else math.sqrt(low * high)  # a single tau stays exact


def boundaries(
    runs: Sequence[RunTimescales], criterion: str, budget: int, confidence: float
) -> list[Boundary]:
    """n*(p; budget) of every condition that measured the criterion and has a run that was trained so long.

    Beyond its last budget only runs that cross would count, and n* would lie too high.
    """
    return [
        _boundary(group, criterion, budget, confidence)
        for group in by_condition(runs, criterion)
        if max(run.budget for run in group) >= budget
    ]


def _boundary(runs: Sequence[RunTimescales], criterion: str, budget: int, confidence: float) -> Boundary:
    decided = [known for run in runs if (known := decide(run.n, run.crossings[criterion], budget))]
    memorising = sum(run.memorises for run in decided)
    estimate, reason = Estimate(), None
    if not decided:
        reason = f"no run was trained to tau = {budget}"
    else:
        middle, low, high = BoundaryPosterior.of(decided).interval(confidence)
        estimate = Estimate(estimate=middle, low=low, high=high)
        sizes = [run.n for run in decided]
        if memorising == len(decided):
            reason = f"all runs memorise: n* lies above the largest n = {max(sizes)}, or near it"
        elif memorising == 0:
            reason = f"no run memorises: n* lies below the smallest n = {min(sizes)}, or near it"
        elif middle is None:
            reason = "n* lies outside of the n that were measured"
    return Boundary(
        **described(runs[0]),
        criterion=criterion,
        budget=budget,
        n_star=estimate,
        n_runs=len(decided),
        n_memorising=memorising,
        reason=reason,
    )
