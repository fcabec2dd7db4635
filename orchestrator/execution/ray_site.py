"""Submitting a sweep to Ray as the command line does: check the cluster, hand over one Ray job, and watch it if asked to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import typer

from tausweep.orchestrator.execution import run_states
from tausweep.orchestrator.execution.local_site import EXIT_INTERRUPTED, report_end
from tausweep.orchestrator.execution.reconcile import note_ended, what_happened
from tausweep.orchestrator.execution.submission import open_runs, submit_jobs
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.job_records import GivenJob, given_jobs, living_runs
from tausweep.orchestrator.executors.ray.executor import RayDetails
from tausweep.orchestrator.executors.ray.placement import require_place
from tausweep.orchestrator.plan.plan import Plan, PlannedRun, with_jobs
from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.terminal import console, progress
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout

_POLL_SECONDS = 2.0


def on_cluster(made: Plan, address: str | None) -> Plan:
    """The plan with the cluster's address in its resources; refuses what the cluster has not, before anything is written.

    Raises:
        SettingError: the cluster can't execute one of the runs, or a field is wrong.
        TausweepError: there is no cluster, or it does not answer.
    """
    resources = made.resources
    if address is not None:
        options = RayOptions.parse({**resources.ray.model_dump(exclude_unset=True), "address": address})
        resources = resources.model_copy(update={"ray": options})
    site = require_place(resources)
    if site.warning is not None:
        print(site.warning, file=sys.stderr)  # noqa: T201 - also where output is JSON or goes into a file
    return replace(made, resources=resources)


def submit(made: Plan, layout: StoreLayout, *, watch: bool) -> None:
    """Submit what is to do of a prepared sweep as one Ray job, and stay until it has ended if that is asked for.

    Raises:
        TausweepError: Ray refused the job, and nothing was submitted; or it was watched and ended with runs left.
        typer.Exit: 1 if a run failed, 130 if the watching was stopped.
    """
    _hand_over(run_states.settled(made, layout), layout)
    if watch:
        _watch(made, layout)


def carry_out(made: Plan, layout: StoreLayout, update: Callable[[Plan], None]) -> Plan:
    """Submit what is to do of a prepared plan, stay until its job has ended, and give the plan back as it ended.

    Raises:
        TausweepError: Ray refused the job, and nothing was submitted; or the job ended with runs left.
        KeyboardInterrupt: stopped by a signal; the job goes on.
    """
    _hand_over(made, layout)
    made = run_states.settled(_follow(made, layout, update)[0], layout)
    _require_ended(made, layout)
    return made


def _hand_over(made: Plan, layout: StoreLayout) -> None:
    jobs = given_jobs(made.sweep, layout)
    for job in note_ended(jobs, layout)[:1]:
        console.console.print(f"an earlier job began no run: {what_happened(job)}", soft_wrap=True)
    runs = open_runs(made, jobs) + _maybe_lost(made, jobs)
    if runs:
        handle = submit_jobs(
            made.sweep, layout, registry.executor_of("ray"), [[run.run_id for run in runs]], made.resources
        )[0]
        details = RayDetails.model_validate(handle.details)
        console.console.print(
            f"{made.sweep}: {len(runs)} runs submitted to Ray at {details.dashboard}, "
            f"job {details.submission_id}\noutput: {layout.job_log(handle.job_id)}",
            soft_wrap=True,
        )
    else:
        console.console.print(
            f"{made.sweep}: nothing to submit; all runs are done, or in jobs that wait or run"
        )
    console.console.print(f"follow with: tausweep status {made.sweep} --store {layout.root}", soft_wrap=True)


def _maybe_lost(made: Plan, jobs: Sequence[GivenJob]) -> list[PlannedRun]:
    """Runs that look as if they were executed, by no job that lives: the driver watches, and takes up those that are lost."""
    given = living_runs(jobs)
    return [run for run in made.runs if run.status.state == "running" and run.run_id not in given]


def _follow(made: Plan, layout: StoreLayout, update: Callable[[Plan], None]) -> tuple[Plan, list[GivenJob]]:
    """Look again and again until no job of the sweep lives."""
    while True:
        began = time.monotonic()
        jobs = given_jobs(made.sweep, layout)
        made = run_states.refresh(made, layout)
        made = replace(made, runs=with_jobs(made.runs, made.sweep, layout))
        update(made)
        if all(job.alive is False for job in jobs):
            return made, jobs
        # A look at thousands of runs takes a while: a tenth of a core at most goes into looking.
        time.sleep(max(_POLL_SECONDS, 9 * (time.monotonic() - began)))


def _watch(made: Plan, layout: StoreLayout) -> None:
    try:
        with progress.ProgressView(made) as view:
            made, jobs = _follow(made, layout, view.update)
    except KeyboardInterrupt:
        console.console.print("stopped watching; the job goes on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for job in note_ended(jobs, layout)[:1]:
        console.console.print(what_happened(job), soft_wrap=True)
    made = run_states.settled(made, layout)
    report_end(made, layout)
    _require_ended(made, layout)


def _require_ended(made: Plan, layout: StoreLayout) -> None:
    """Check that no run is left: a job that was stopped, or lost with its head, ends before its runs do."""
    left = sum(run.status.waiting or run.status.state == "running" for run in made.runs)
    if left:
        raise TausweepError(
            f"{made.sweep}: {left} runs are left, but no job that lives has them; go on with\n"
            f"  tausweep resume {made.sweep} --store {layout.root}"
        )
