"""Submitting a sweep to Ray as the command line does: check the cluster, hand over one Ray job, and watch it if asked to."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from tausweep.orchestrator.execution import run_states
from tausweep.orchestrator.execution.reconcile import note_ended, what_happened
from tausweep.orchestrator.execution.run_states import Update
from tausweep.orchestrator.execution.site import Site, report_end, stopped_with
from tausweep.orchestrator.execution.submission import open_runs, submit_jobs
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.job_records import GivenJob, given_jobs, living_runs
from tausweep.orchestrator.executors.ray.executor import RayDetails, RayExecutor
from tausweep.orchestrator.executors.ray.placement import require_place
from tausweep.orchestrator.plan.plan import Plan, PlannedRun, with_jobs
from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.terminal import console, progress
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout

_POLL_SECONDS = 2.0


class RaySite(Site):
    """A Ray cluster."""

    executor = RayExecutor
    requires = "ray.job_submission"
    uses = frozenset({"watch", "address"})

    def resources(self, plan: Plan, *, stored: bool) -> Resources:  # noqa: ARG002 - the same for both
        """The plan's, with the cluster's address in them; refuses what the cluster does not have.

        Raises:
            SettingError: the cluster can't execute one of the runs, or a field is wrong.
            TausweepError: there is no cluster, or it does not answer.
        """
        resources = plan.resources
        if self.options.address is not None:
            words = {**resources.ray.model_dump(exclude_unset=True), "address": self.options.address}
            resources = resources.model_copy(update={"ray": RayOptions.parse(words)})
        cluster = require_place(resources)
        if cluster.warning is not None:
            print(cluster.warning, file=sys.stderr)  # noqa: T201 - also where output is JSON or goes into a file
        return resources

    def submit(self, plan: Plan) -> None:
        """Hand over what is to do as one Ray job; with `watch`, stay until it has ended.

        Raises:
            TausweepError: Ray refused the job, and nothing was submitted; or it was watched and ended with runs left.
            typer.Exit: 1 if a run failed, 130 if the watching was stopped.
        """
        self._hand_over(run_states.settled(plan, self.layout))
        if not self.options.watch:
            return
        with stopped_with("stopped watching; the job continues"), progress.ProgressView(plan) as view:
            plan, jobs = _follow(plan, self.layout, view.update)
        for job in note_ended(jobs, self.layout)[:1]:
            console.console.print(what_happened(job), soft_wrap=True)
        plan = run_states.settled(plan, self.layout)
        report_end(plan, self.layout)
        _require_ended(plan, self.layout)

    def carry_out(self, plan: Plan, update: Update) -> Plan:
        """Hand over what is to do as one Ray job, and stay until it has ended.

        Raises:
            TausweepError: Ray refused the job, and nothing was submitted; or the job ended with runs left.
            KeyboardInterrupt: stopped by a signal; the job goes on.
        """
        self._hand_over(plan)
        plan = run_states.settled(_follow(plan, self.layout, update)[0], self.layout)
        _require_ended(plan, self.layout)
        return plan

    def _hand_over(self, plan: Plan) -> None:
        layout = self.layout
        jobs = given_jobs(plan.sweep, layout)
        for job in note_ended(jobs, layout)[:1]:
            console.console.print(
                f"an earlier job ended without starting a run: {what_happened(job)}", soft_wrap=True
            )
        runs = open_runs(plan, jobs) + _maybe_lost(plan, jobs)
        if runs:
            handle = submit_jobs(
                plan.sweep,
                layout,
                registry.executor_of(self.name),
                [[run.run_id for run in runs]],
                plan.resources,
            )[0]
            details = RayDetails.model_validate(handle.details)
            console.console.print(
                f"{plan.sweep}: {len(runs)} runs submitted to Ray at {details.dashboard}, "
                f"job {details.submission_id}\noutput: {layout.job_log(handle.job_id)}",
                soft_wrap=True,
            )
        else:
            console.console.print(
                f"{plan.sweep}: nothing to submit; all runs are done, or in jobs that wait or run"
            )
        console.console.print(
            f"follow with: tausweep status {plan.sweep} --store {layout.root}", soft_wrap=True
        )


def _maybe_lost(plan: Plan, jobs: Sequence[GivenJob]) -> list[PlannedRun]:
    """Runs that look as if they were executed, by no job that lives: the driver watches, and takes up those that are lost."""
    taken = living_runs(jobs)
    return [run for run in plan.runs if run.status.state == "running" and run.run_id not in taken]


def _follow(plan: Plan, layout: StoreLayout, update: Update) -> tuple[Plan, list[GivenJob]]:
    """Look again and again until no job of the sweep lives."""
    while True:
        began = time.monotonic()
        jobs = given_jobs(plan.sweep, layout)
        plan = run_states.refresh(plan, layout)
        plan = replace(plan, runs=with_jobs(plan.runs, plan.sweep, layout))
        update(plan)
        if all(job.alive is False for job in jobs):
            return plan, jobs
        # A look at thousands of runs takes a while: a tenth of a core at most goes into looking.
        time.sleep(max(_POLL_SECONDS, 9 * (time.monotonic() - began)))


def _require_ended(plan: Plan, layout: StoreLayout) -> None:
    """Check that no run is left: a job that was stopped, or lost with its head, ends before its runs do."""
    left = sum(run.status.waiting or run.status.state == "running" for run in plan.runs)
    if left:
        raise TausweepError(
            f"{plan.sweep}: {left} runs are left, and no live job has them; continue with\n"
            f"  tausweep resume {plan.sweep} --store {layout.root}"
        )
