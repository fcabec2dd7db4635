"""Carries `refine` out: from a stored sweep to proposed runs in a sweep file, and around again until n* is narrow.

Called by the command line, which says where runs are executed. What is proposed is decided by `orchestrator.refine`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from orchestrator import launch
from orchestrator.analysis import View, read_tables
from orchestrator.boundary import BoundaryPosterior
from orchestrator.curves import Condition
from orchestrator.grouping import condition_of
from orchestrator.plan import Plan, make_plan
from orchestrator.points import child_text, with_points
from orchestrator.refine import Proposal, posteriors, propose
from orchestrator.results import RunTimescales
from orchestrator.staging import identify
from orchestrator.sweepfile import expand, find_sweep, read_sweep
from storage.atomic import publish
from storage.errors import DataError, InputError, SweepFileError, TausweepError
from storage.layout import StoreLayout

TARGETS = ("boundary",)


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known of a sweep's boundary.

    Attributes:
        runs: with their crossings.
        criterion: of memorisation.
        budget: tau at which the boundary is looked for.
        known: posterior of every condition.
        taken: (W, n, seed) of all runs, those without a measurement included.
    """

    runs: list[RunTimescales]
    criterion: str
    budget: int
    known: Mapping[Condition, BoundaryPosterior]
    taken: frozenset[tuple[int, int, int]]

    def open(self, width: float) -> dict[Condition, BoundaryPosterior]:
        """Conditions whose 95 % interval spans a larger factor than asked for."""
        return {condition: found for condition, found in self.known.items() if found.width > width}


def look(plan: Plan, layout: StoreLayout, view: View, budget: int | None) -> State:
    """Resolve a stored sweep as far as its boundary.

    Raises:
        InputError: nothing measured says anything about the boundary at this budget.
    """
    result = read_tables(plan, layout).resolve(plan.sweep, view, draws=1)
    criterion = next((fit.criterion for fit in result.fits if fit.quantity == "tau_mem"), None)
    if criterion is None:
        raise InputError(f"{result.sweep}: no run has measured memorisation; run the sweep first")
    at, longest = budget or result.budgets[-1], result.budgets[-1]
    if at > longest:
        raise InputError(f"--tau {at}: no run was trained so long; the longest has {longest} steps")
    return State(
        runs=result.runs,
        criterion=criterion,
        budget=at,
        known=posteriors(result.runs, criterion, at),
        taken=frozenset(
            (getattr(run.spec.model, "W", run.p), run.spec.data.n, run.spec.seed) for run in plan.runs
        ),
    )


def points_of(
    plan: Plan, proposals: Sequence[Proposal], runs: Sequence[RunTimescales], budget: int
) -> list[dict[str, Any]]:
    """Proposed runs as points of a sweep file: axes and what else varies as in the nearest run, and n, seed, steps.

    Args:
        plan: the sweep.
        proposals: of its conditions.
        runs: of the sweep, with data.
        budget: steps of each.
    """
    settings = {run.run_id: run.spec.settings() for run in plan.runs}
    names = {name for one in settings.values() for name in one}
    varying = {name for name in names if len({repr(one.get(name)) for one in settings.values()}) > 1}
    found = []
    for proposal in proposals:
        own = [run for run in runs if condition_of(run) == proposal.condition]
        like = settings[min(own, key=lambda run: abs(run.n / proposal.n - 1)).run_id]
        wanted = sorted(varying.union(plan.axes) - {"n", "seed", "steps"})
        fixed = {name: like[name] for name in wanted if name in like}
        found.append({"n": proposal.n, **fixed, "steps": budget, "seed": proposal.seed})
    return found


def parent_file(plan: Plan) -> Path:
    """The sweep file that a stored sweep came from.

    Raises:
        InputError: it is not there any more.
    """
    try:
        path = find_sweep(plan.source)
    except InputError:
        path = Path(plan.source)
    if not path.is_file():
        raise InputError(
            f"{plan.sweep}: its sweep file {plan.source} is not there; give the file instead of the name"
        )
    return path


def write_points(layout: StoreLayout, parent: Path, out: Path, points: Sequence[dict[str, Any]]) -> None:
    """Add points to a sweep file, or to a copy of it under another name, whole or not at all.

    Args:
        layout: the store, which may know the images.
        parent: the sweep file.
        out: the same file, or a child that has the parent's runs and the points.
        points: settings of one run each.

    Raises:
        InputError: the child exists, or the result is no valid sweep or asks for more images than there are.
    """
    sweep = read_sweep(parent)
    text = parent.read_text(encoding="utf-8")
    same = out.exists() and out.samefile(parent)
    if out.exists() and not same:
        raise InputError(
            f"--out {out}: exists; name a new file, or the sweep's own file {parent} to add to it"
        )
    if not same:
        text = child_text(text, out.stem, sweep.folder)
    text = with_points(text, points)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        try:
            identify(expand(read_sweep(Path(draft.name))), sweep.folder, layout)
        except SweepFileError as error:
            raise InputError(str(error).replace(draft.name, str(out))) from error
        except DataError as error:
            raise InputError(f"--out {out}: {error}; limit it with --largest-n") from error
    try:
        publish(out, lambda file: file.write(text.encode()))
    except OSError as error:
        raise InputError(f"--out {out}: can't be written ({error.strerror})") from error


def next_points(
    state: State, plan: Plan, count: int, width: float, largest_n: int | None
) -> tuple[list[Proposal], list[dict[str, Any]]]:
    """Proposals for the conditions that are not narrow enough, and their points."""
    proposals = propose(state.open(width), count, taken=state.taken, largest_n=largest_n)
    return proposals, points_of(plan, proposals, state.runs, state.budget)


def answered(plan: Plan, layout: StoreLayout, view: View) -> list[str]:
    """Runs in progress that have crossed the first criterion of tau_mem: more training can't change that."""
    running = [run for run in plan.runs if run.status.state == "running"]
    if not running:
        return []
    result = read_tables(replace(plan, runs=running), layout).resolve(plan.sweep, view, draws=1)
    criterion = next((fit.criterion for fit in result.fits if fit.quantity == "tau_mem"), "")
    return [
        run.run_id
        for run in result.runs
        if (found := run.crossings.get(criterion)) and found.censored != "right"
    ]


class Site(Protocol):
    """Where the runs of a loop are executed: this machine, or a scheduler."""

    def place(self, plan: Plan) -> Plan:
        """The plan with its executor and what that needs to know; refuses what can't be executed there."""

    def execute(self, plan: Plan, watch: Callable[[Plan], None]) -> Plan:
        """Execute what is to do of a plan, calling `watch` now and then, and give it back as it ended."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Proposes, executes and looks again, until every n* is narrow.

    Attributes:
        layout: the store.
        view: how the sweep is looked at.
        parent: the sweep file that is refined.
        out: the sweep file that runs are written into.
        width: factor within which a 95 % interval of n* is narrow enough.
        largest_n: no run is proposed above it.
        early_stop: whether runs are cancelled once they memorise; they are censored for all else.
        site: where runs are executed.
    """

    layout: StoreLayout
    view: View
    parent: Path
    out: Path
    width: float
    largest_n: int | None
    early_stop: bool
    site: Site

    def rounds(
        self, plan: Plan, state: State, most: int, batch: int | None
    ) -> Iterator[tuple[State, list[Proposal]]]:
        """Yield what is known and what is proposed before each round is executed, and what is known at the end.

        Args:
            plan: the stored sweep.
            state: of it.
            most: runs in all.
            batch: runs a round; by default one for every condition that is not narrow yet.

        Raises:
            TausweepError: a run failed; see the store.
            KeyboardInterrupt: stopped by a signal; what was written and begun stays.
        """
        done = 0
        while done < most and (left := state.open(self.width)):
            count = min(most - done, batch or len(left))
            proposals, points = next_points(state, plan, count, self.width, self.largest_n)
            yield state, proposals
            write_points(self.layout, self.out if done else self.parent, self.out, points)
            plan = self._run(plan)
            state = look(plan, self.layout, self.view, state.budget)
            done += count
        yield state, []

    def _run(self, before: Plan) -> Plan:
        """Execute what the file has beyond a plan."""
        plan = self.site.place(make_plan(read_sweep(self.out), self.layout))
        launch.prepare(plan, self.layout)
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
            for run_id in answered(now, self.layout, self.view):
                launch.cancel(self.layout.run(run_id))
