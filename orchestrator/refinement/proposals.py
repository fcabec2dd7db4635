"""Chooses the next runs by their expected information about the boundary n*(p; tau).

Called by the command `refine` with the crossings of a sweep; pure, writes nothing. For every condition the
boundary is a posterior (`orchestrator.analysis.statistics.boundary_posterior`); the next run is the
(condition, n) whose outcome would tell most about ln n*. All runs have the same number of steps, so the most
information per run is the most per step. Earlier proposals without a known outcome keep every possible
outcome with its probability, so a batch is chosen as a whole, not as copies of one run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import by_condition, condition_of
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.analysis.statistics.boundary_posterior import (
    BoundaryPosterior,
    DecidedRun,
    decide,
    information,
    probability,
)

_BRANCHES = 32  # only this many outcomes of runs in flight are kept, the likeliest
_CANDIDATES = 60
SMALLEST_N = 2


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposed run.

    Attributes:
        condition: its width, optimizer, batch and settings.
        n: training-set size.
        seed: the smallest seed that no run of this W and n has.
        memorises: probability that it memorises within the budget.
        information: expected information about ln n*, in nats.
        known: median, 2.5 % and 97.5 % quantile of n* before any of the proposed runs.
        measured: smallest and largest measured n.
    """

    condition: Condition
    n: int
    seed: int
    memorises: float
    information: float
    known: tuple[float, float, float]
    measured: tuple[float, float]

    @property
    def reason(self) -> str:
        """The reason for this run, as text."""
        middle, low, high = self.known
        smallest, largest = self.measured
        beyond = ""
        if low < smallest or high > largest:
            beyond = f" (assumed beyond the n measured, {smallest:g} … {largest:g})"
        return (
            f"n* lies near {middle:.3g}, within {low:.3g} … {high:.3g}{beyond}; this run memorises with probability "
            f"{self.memorises:.2f} and tells {self.information:.2f} nats of it"
        )


@dataclass(eq=False)
class _Branches:
    """A posterior for every outcome of the proposed runs, with its probability; all on one grid."""

    weights: list[float]
    posteriors: list[BoundaryPosterior]

    def information(self, sizes: Sequence[int]) -> list[float]:
        """For each n, the information from one more run."""
        joint = np.stack([posterior.weights for posterior in self.posteriors])
        log_n = self.posteriors[0].log_n
        return [float(self.weights @ information(joint, probability(log_n, n))) for n in sizes]

    def memorises(self, n: float) -> float:
        return sum(w * p.memorises(n) for w, p in zip(self.weights, self.posteriors, strict=True))

    def propose(self, n: float) -> None:
        """Split every branch by the outcome of a run of this n."""
        split = [
            (weight * chance, posterior.after(n, ends))
            for weight, posterior in zip(self.weights, self.posteriors, strict=True)
            for ends, chance in ((True, posterior.memorises(n)), (False, 1 - posterior.memorises(n)))
        ]
        split = sorted(split, key=lambda branch: -branch[0])[:_BRANCHES]
        total = sum(weight for weight, _ in split)
        self.weights = [weight / total for weight, _ in split]
        self.posteriors = [posterior for _, posterior in split]


def posteriors(
    runs: Sequence[RunTimescales], criterion: str, budget: float
) -> dict[Condition, BoundaryPosterior]:
    """The posterior of n* for every condition that measured the criterion and has a run for this budget."""
    known = {}
    for group in by_condition(runs, criterion):
        if decided := decided_runs(group, criterion, budget):
            known[condition_of(group[0])] = BoundaryPosterior.of(decided)
    return known


def decided_runs(runs: Sequence[RunTimescales], criterion: str, budget: float) -> list[DecidedRun]:
    """Outcomes of runs at a budget; runs that are not informative are left out."""
    return [known for run in runs if (known := decide(run.n, run.crossings[criterion], budget))]


def propose(
    known: Mapping[Condition, BoundaryPosterior],
    count: int,
    *,
    taken: Collection[tuple[int, int, int]] = (),
    largest_n: int | None = None,
) -> list[Proposal]:
    """The next runs, most informative first.

    Args:
        known: a posterior for every condition to refine.
        count: how many.
        taken: (W, n, seed) of the sweep's runs, including runs without a measurement; none of them is
            proposed.
        largest_n: no run is proposed above it.
    """
    branches = {condition: _Branches([1.0], [posterior]) for condition, posterior in known.items()}
    used = set(taken)
    best = {condition: _best(branches[condition], known[condition], largest_n) for condition in known}
    proposals: list[Proposal] = []
    while len(proposals) < count and best:
        condition = max(best, key=lambda candidate: best[candidate][1])
        n, information = best[condition]
        seed = next(s for s in range(len(used) + 1) if (condition.W, n, s) not in used)
        used.add((condition.W, n, seed))
        posterior = known[condition]
        proposals.append(
            Proposal(
                condition=condition,
                n=n,
                seed=seed,
                memorises=branches[condition].memorises(n),
                information=information,
                known=(posterior.quantile(0.5), posterior.quantile(0.025), posterior.quantile(0.975)),
                measured=posterior.measured,
            )
        )
        branches[condition].propose(n)
        best[condition] = _best(branches[condition], posterior, largest_n)
    return proposals


def _best(branches: _Branches, known: BoundaryPosterior, largest_n: int | None) -> tuple[int, float]:
    """The most informative n and its information, among the integers where n* may lie."""
    low, high = max(SMALLEST_N, known.quantile(0.005)), max(SMALLEST_N, known.quantile(0.995))
    grid = np.unique(np.round(np.geomspace(low, high, _CANDIDATES)).astype(int))
    allowed = [int(n) for n in grid if largest_n is None or n <= largest_n] or [largest_n or SMALLEST_N]
    information = branches.information(allowed)
    place = int(np.argmax(information))
    return allowed[place], information[place]
