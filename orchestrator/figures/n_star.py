"""Which boundaries n*(p; tau) a phase diagram draws, and where it draws the architectural line.

Called by the printed figure and by the report; computes no fit. Widths may have been trained to different budgets: a boundary
passes only through widths that were trained to its tau.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import ArchitecturalLine, Boundary, FitResult

_MOST = 3  # boundaries in one figure, before the last ones
_STEP = 2.0  # smallest factor of tau between two of them
_FAR = 4.0  # times the largest n: a line extrapolated beyond is left to the tables


@dataclass(frozen=True, kw_only=True)
class DrawnBoundary:
    """n*(p; tau) at one budget.

    Attributes:
        budget: tau.
        ends: with an estimate, of widths trained to this budget, in the order of p.
    """

    budget: int
    ends: list[Boundary]


def boundaries_at(result: FitResult, budget: int) -> list[Boundary]:
    """The boundary of every condition at a budget; where it was not trained so long, at its own last one."""
    latest = {condition_of(at): at for at in result.boundaries if at.budget <= budget}  # ascending in budget
    return [latest[condition] for condition in sorted(latest)]


def earlier_boundaries(result: FitResult, column: Condition) -> list[DrawnBoundary]:
    """At most three boundaries before the last ones, of conditions that differ from `column` in W only; in the order of tau.

    Each lies at least a factor of two in tau before the next, the last of them before the largest budget.
    """
    estimates: dict[int, list[Boundary]] = {}
    for at in result.boundaries:
        if replace(condition_of(at), W=0) == column and at.n_star.estimate is not None:
            estimates.setdefault(at.budget, []).append(at)
    chosen = [max(estimates, default=0)]
    for budget in sorted(estimates, reverse=True):
        if budget * _STEP <= chosen[-1] * 1.001:
            chosen.append(budget)
    return [
        DrawnBoundary(budget=budget, ends=sorted(estimates[budget], key=lambda at: at.p))
        for budget in sorted(_spread(chosen[1:]))
    ]


def _spread(budgets: Sequence[int]) -> list[int]:
    """As many of them as are drawn, the first and the last included, evenly over their order."""
    if len(budgets) <= _MOST:
        return list(budgets)
    return [budgets[round(place * (len(budgets) - 1) / (_MOST - 1))] for place in range(_MOST)]


def lines_in_sight(result: FitResult) -> list[ArchitecturalLine]:
    """Architectural lines with an estimate or a lower bound that is in sight of the n that were trained."""
    most = _FAR * max(run.n for run in result.runs)
    return [line for line in result.lines if (at := line_at(line)) is not None and at <= most]


def line_at(line: ArchitecturalLine | Boundary) -> float | None:
    """Where a line or a boundary is drawn: its n*, or the lower bound beyond which it lies; None where neither is known."""
    return line.n_star.estimate if line.n_star.estimate is not None else line.n_star.low


def open_at(result: FitResult) -> str:
    """Up to which tau the lines that have not converged were trained, such as `8,000` or `4,000 to 8,000`."""
    lines = [condition_of(line) for line in lines_in_sight(result) if not line.converged]
    return budgets_in_words([at for at in last_boundaries(result) if condition_of(at) in lines])


def budgets_in_words(boundaries: Sequence[Boundary]) -> str:
    """Such as `8,000` or `4,000 to 8,000`."""
    budgets = sorted({at.budget for at in boundaries})
    return " to ".join(f"{budget:,}" for budget in dict.fromkeys([*budgets[:1], *budgets[-1:]]))
