"""The state of a refinement: the current knowledge of the boundary n*.

Read from the store by the loop and by the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.analysis.statistics.boundary_posterior import BoundaryPosterior
from tausweep.orchestrator.analysis.tables import read_tables
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.refinement.proposals import posteriors
from tausweep.storage.errors import InputError
from tausweep.storage.layout import StoreLayout


@dataclass(frozen=True, kw_only=True)
class State:
    """The current knowledge of a sweep's boundary.

    Attributes:
        runs: the runs with their crossings.
        criterion: the criterion of memorisation.
        budget: tau of the boundary.
        known: the posterior of every condition.
        taken: (W, n, seed) of all runs, including runs without a measurement.
    """

    runs: list[RunTimescales]
    criterion: str
    budget: int
    known: Mapping[Condition, BoundaryPosterior]
    taken: frozenset[tuple[int, int, int]]

    def open(self, width: float) -> dict[Condition, BoundaryPosterior]:
        """Conditions whose 95 % interval spans more than the wanted factor."""
        return {
            condition: posterior for condition, posterior in self.known.items() if posterior.width > width
        }


def look(plan: Plan, layout: StoreLayout, options: ResolverOptions, budget: int | None) -> State:
    """Resolve a stored sweep as far as its boundary.

    Raises:
        InputError: no measurement is informative about the boundary at this budget.
    """
    result = read_tables(plan, layout).fit(plan.sweep, replace(options, draws=1))
    criterion = next((fit.criterion for fit in result.fits if fit.quantity == "tau_mem"), None)
    if criterion is None:
        raise InputError(f"{result.sweep}: no run has measured memorisation; run the sweep first")
    at, longest = budget or result.budgets[-1], result.budgets[-1]
    if at > longest:
        raise InputError(f"--tau {at}: no run was trained that long; the longest has {longest} steps")
    return State(
        runs=result.runs,
        criterion=criterion,
        budget=at,
        known=posteriors(result.runs, criterion, at),
        taken=frozenset(
            (getattr(run.spec.model, "W", run.p), run.spec.data.n, run.spec.seed) for run in plan.runs
        ),
    )
