"""The architectural-regularisation line: the n*(p) beyond which a network never memorises.

Called by the resolver with the laws that compete for the runs of one width. Bonnaire et al.
(arXiv:2505.17638) find that for n above some n*(p) a network of p parameters generalises for good. Here n* is
a parameter of

    tau_mem = tau_0 + c·n/(1 − n/n_star).

A line counts as converged only if nothing else explains the runs: every law without a line is rejected, n
beyond the line were trained, and n*(p; tau) has stopped moving. A floor alone also bends a law upwards in ln
n, and a steep power law resembles the approach to a line, but their n*(p; tau) keeps moving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tausweep.orchestrator.analysis.laws.competing.competition import REJECTED, WITH_LINE
from tausweep.orchestrator.analysis.laws.phase_diagram import boundaries
from tausweep.orchestrator.analysis.runs.grouping import by_condition, described
from tausweep.orchestrator.analysis.runs.results import (
    ArchitecturalLine,
    CompetingFit,
    Competition,
    Estimate,
    RunTimescales,
)

FLAT = 0.2
"""|d ln n*/d ln tau| up to which a boundary has stopped moving: n* moves by less than a third while the budget grows fourfold."""
OVER = 4
"""The last factor of the budget in which it must not move."""


def lines(
    runs: Sequence[RunTimescales], criterion: str, competitions: Sequence[Competition], confidence: float
) -> Iterator[ArchitecturalLine]:
    """The line of every condition that measured the criterion.

    Args:
        runs: the runs of a sweep.
        criterion: the criterion of tau_mem.
        competitions: those of its conditions, by this criterion.
        confidence: of the intervals.
    """
    for group in by_condition(runs, criterion):
        own = next(one for one in competitions if _belongs(one, group[0], criterion))
        largest = max(run.n for run in group)
        growth = _growth(group, criterion, confidence)
        n_star, verdict = _judged(own.laws, largest, growth)
        yield ArchitecturalLine(
            **described(group[0]),
            criterion=criterion,
            n_star=n_star,
            converged=verdict.startswith("converged"),
            growth=growth,
            n_points=own.n_points,
            n_censored=own.n_censored,
            verdict=verdict,
        )


def _belongs(competition: Competition, run: RunTimescales, criterion: str) -> bool:
    return (
        competition.criterion == criterion
        and competition.W_values == [run.W]
        and competition.width_axis == run.width_axis
        and (competition.optimizer, competition.batch, competition.settings)
        == (run.optimizer, run.batch, run.settings)
    )


def _judged(laws: Sequence[CompetingFit], largest: int, growth: float | None) -> tuple[Estimate, str]:
    """What is known of n*, and whether it has converged, in words."""
    line = next(law for law in laws if law.law == WITH_LINE)
    if line.reason:
        return Estimate(), f"not converged: {line.reason}"
    known = line.parameters["n_star"]
    best_line = min(law.aicc for law in laws if law.has_line and law.aicc is not None)
    open_ended = Estimate(low=known.low)
    # Only a law with a line can reject one without, not another law without a line.
    kept = [
        law.law
        for law in laws
        if not law.has_line and law.aicc is not None and law.aicc - best_line <= REJECTED
    ]
    if kept:
        return open_ended, (
            f"not converged: without a line, {_listed(kept)} {'is' if len(kept) == 1 else 'are'} not rejected, "
            "so n* may lie anywhere above the lower bound"
        )
    if known.high is None:
        return open_ended, "not converged: n* may lie anywhere above the lower bound"
    if known.high > largest:
        return known, (
            f"not converged: tau_mem bends upwards as before a line, but the line may lie beyond the largest n = {largest} "
            "that was trained"
        )
    if growth is None:
        return known, "not converged: n* is not known at a quarter of the largest budget"
    if abs(growth) > FLAT:
        return known, f"not converged: n* still moves with the budget, like tau^{growth:.2g}"
    return known, (
        "converged: every law without a line is rejected, n beyond the line were trained, and n* no longer moves with the budget"
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _growth(runs: Sequence[RunTimescales], criterion: str, confidence: float) -> float | None:
    """The slope d ln n*/d ln tau over the last factor of four of these runs' budget.

    None if an end is unknown.
    """
    last = max(run.budget for run in runs)
    ends = []
    for budget in (round(last / OVER), last):
        (boundary,) = boundaries(runs, criterion, budget, confidence)
        ends.append(boundary.n_star.estimate)
    early, late = ends
    return None if early is None or late is None else float(np.log(late / early) / np.log(OVER))
