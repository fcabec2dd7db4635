"""The loop of `refine`: proposes runs, writes them into a sweep file, trains them, until n* is narrow.

Called by the command line, which chooses where runs are executed. `orchestrator.refinement.proposals` makes
the proposals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.tables import read_tables
from tausweep.orchestrator.execution import prepare, run_states
from tausweep.orchestrator.execution.site import Site
from tausweep.orchestrator.plan.plan import Plan, make_plan
from tausweep.orchestrator.refinement.boundary_state import State, look
from tausweep.orchestrator.refinement.proposals import Proposal, propose
from tausweep.orchestrator.refinement.sweep_text import points_of, write_points
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout

TARGETS = ("boundary",)


def next_points(
    state: State, plan: Plan, count: int, width: float, largest_n: int | None
) -> tuple[list[Proposal], list[dict[str, Any]]]:
    """Proposals for the conditions whose intervals are too wide, and their points."""
    proposals = propose(state.open(width), count, taken=state.taken, largest_n=largest_n)
    return proposals, points_of(plan, proposals, state.runs, state.budget)


def answered(plan: Plan, layout: StoreLayout, options: ResolverOptions) -> list[str]:
    """Running runs that have crossed the first criterion of tau_mem, which more training cannot change."""
    running = [run for run in plan.runs if run.status.state == "running"]
    if not running:
        return []
    result = read_tables(replace(plan, runs=running), layout).fit(plan.sweep, replace(options, draws=1))
    criterion = next((fit.criterion for fit in result.fits if fit.quantity == "tau_mem"), "")
    return [
        run.run_id
        for run in result.runs
        if (crossing := run.crossings.get(criterion)) and crossing.censored != "right"
    ]


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Proposes, executes and resolves again, until every n* is narrow.

    Attributes:
        layout: the store.
        options: the resolver's options.
        parent: the sweep file to refine.
        out: the sweep file to write runs into.
        width: the factor that a narrow enough 95 % interval of n* spans at most.
        largest_n: no run is proposed above it.
        early_stop: whether runs are cancelled once they memorise; they are then censored for all other
            criteria.
        site: where runs are executed.
    """

    layout: StoreLayout
    options: ResolverOptions
    parent: Path
    out: Path
    width: float
    largest_n: int | None
    early_stop: bool
    site: Site

    def rounds(
        self, plan: Plan, state: State, most: int, batch: int | None
    ) -> Iterator[tuple[State, list[Proposal]]]:
        """Yield state and proposals before each round is executed, and the state at the end.

        Args:
            plan: the stored sweep.
            state: the state of this sweep.
            most: largest total number of runs.
            batch: runs per round; by default one per condition that is not narrow yet.

        Raises:
            TausweepError: a run failed; see the store.
            KeyboardInterrupt: stopped by a signal; the written file and the started runs stay.
        """
        done = 0
        while done < most and (left := state.open(self.width)):
            count = min(most - done, batch or len(left))
            proposals, points = next_points(state, plan, count, self.width, self.largest_n)
            yield state, proposals
            write_points(self.layout, self.out if done else self.parent, self.out, points)
            plan = self._run(plan)
            state = look(plan, self.layout, self.options, state.budget)
            done += count
        yield state, []

    def _run(self, before: Plan) -> Plan:
        """Execute the runs that the file has beyond a plan."""
        plan = make_plan(read_sweep(self.out), self.layout)
        plan.require_complete()
        plan = self.site.place(plan)
        prepare.prepare(plan, self.layout)
        known = {run.run_id for run in before.runs}
        new = replace(plan, runs=[run for run in plan.runs if run.run_id not in known])
        ended = self.site.execute(new, self._stop_answered)
        if failed := [run.run_id for run in ended.runs if run.status.state == "failed"]:
            raise TausweepError(
                f"{plan.sweep}: {len(failed)} runs failed, refining stops; see: tausweep logs {plan.sweep} --failed"
            )
        return plan

    def _stop_answered(self, now: Plan) -> None:
        if self.early_stop:
            for run_id in answered(now, self.layout, self.options):
                run_states.cancel(self.layout.run(run_id))
