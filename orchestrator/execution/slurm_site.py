"""Submitting a sweep to SLURM as the command line does: the site's profile, a dry run, and what became of it in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import typer

from tausweep.orchestrator.execution import run_states, submission, watching
from tausweep.orchestrator.execution.local_site import EXIT_INTERRUPTED, report_end
from tausweep.orchestrator.execution.reconcile import what_happened
from tausweep.orchestrator.execution.submission import Fed, Scheduler
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.job_records import given_jobs
from tausweep.orchestrator.executors.slurm import queue
from tausweep.orchestrator.executors.slurm.array import SlurmDetails, batch_script, parameters
from tausweep.orchestrator.executors.slurm.executor import SlurmExecutor
from tausweep.orchestrator.executors.slurm.file_system import require_shared, shared_file_system
from tausweep.orchestrator.plan.duration import estimate
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.sweep.slurm_profiles import read_profile, with_profile
from tausweep.orchestrator.terminal import console, progress
from tausweep.storage.layout import StoreLayout


def on_site(made: Plan, layout: StoreLayout, profile: str | None, *, stored: bool = False) -> Plan:
    """The plan with the site's profile in its resources; refuses what no job can have, before anything is written."""
    require_shared(layout)
    resources = made.resources
    if profile is not None:
        fields = read_profile(profile)
        if stored:  # the record does not tell what the sweep file had set itself
            fields = resources.slurm.model_dump() | fields
            resources = resources.model_copy(update={"slurm": type(resources.slurm)()})
        resources = with_profile(resources, fields)
    parameters(resources)
    _scheduler().limits(resources)  # a SLURM that does not answer is noticed before anything is written
    return replace(made, resources=resources)


def _scheduler() -> Scheduler:
    return cast("Scheduler", registry.executor_of("slurm"))


def submit(made: Plan, layout: StoreLayout, *, canary: bool, watch: bool) -> None:
    """Hand a prepared sweep over, and stay until it is done if that is asked for.

    Raises:
        TausweepError: sbatch refused, or the canary did not succeed; nothing was submitted then.
        typer.Exit: 1 if a run failed, 130 if the watching was stopped.
    """
    _print_place(layout)
    made = run_states.settled(made, layout)
    scheduler = _scheduler()
    if canary:
        with progress.ProgressView(made) as view:
            watching.canary(made, layout, scheduler, view.update)
        made = run_states.refresh(made, layout)
    fed = submission.feed(made, layout, scheduler)
    _print_fed(made, layout, fed)
    if not watch:
        return
    try:
        with progress.ProgressView(made) as view:
            made = watching.watch_jobs(made, layout, scheduler, view.update)
    except KeyboardInterrupt:
        console.console.print("stopped watching; jobs that were submitted go on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print_calls()
    report_end(made, layout)


def watch(made: Plan, layout: StoreLayout, update: Callable[[Plan], None]) -> Plan:
    """Feed a prepared plan to SLURM until it is done, and give it back as it ended; `feeding.watch_jobs` says how."""
    return watching.watch_jobs(made, layout, _scheduler(), update)


def _print_fed(made: Plan, layout: StoreLayout, fed: Fed) -> None:
    for job in fed.idle[:1]:
        console.console.print(
            f"{len(fed.idle)} jobs began no run. The first: {what_happened(job)}", soft_wrap=True
        )
    arrays = sorted({SlurmDetails.model_validate(job.details).array for job in fed.jobs}, key=int)
    if fed.jobs:
        console.console.print(
            f"{made.sweep}: {fed.runs} runs in {len(fed.jobs)} jobs submitted to SLURM: {', '.join(arrays)}"
        )
    elif not fed.left:
        console.console.print(
            f"{made.sweep}: nothing to submit; all runs are done, or in jobs that wait or run"
        )
    if fed.left:
        console.console.print(
            f"{fed.left} runs are left: {fed.why}. Hand them over with\n"
            f"  tausweep resume {made.sweep} --store {layout.root}\n"
            "as jobs end, or have --watch do it",
            soft_wrap=True,
        )
    _print_calls()
    console.console.print(f"follow with: tausweep status {made.sweep} --store {layout.root}", soft_wrap=True)


def _print_place(layout: StoreLayout) -> None:
    """Images lie in the store too, so that nodes which see it see all that a job needs; a job that does not says so."""
    kind, shared = shared_file_system(layout.root)
    if not shared:
        console.console.print(
            f"note: the store is on {kind}, which may be this machine's alone; all nodes must see it",
            soft_wrap=True,
        )


def _print_calls() -> None:
    told = ", ".join(f"{name} {count}" for name, count in sorted(queue.calls.items()))
    console.console.print(f"SLURM was asked: {told}")


def print_dry_run(made: Plan, layout: StoreLayout) -> None:
    """Show what a submission would be: batch scripts, what sbatch says of them, jobs and hours. Writes nothing."""
    executor = SlurmExecutor()
    runs = submission.open_runs(made, given_jobs(made.sweep, layout))
    jobs = len(submission.cut(runs, made.resources.slurm.runs_per_job)) if runs else 0
    limits = executor.limits(made.resources)
    sizes = {min(limits.array_tasks, jobs), jobs % limits.array_tasks} - {0}
    for tasks in sorted(sizes, reverse=True):
        script = batch_script(layout, made.resources, name=made.sweep, tasks=tasks)
        console.console.print(f"{script}\n{executor.test(script)}\n", soft_wrap=True)
    guess = estimate(runs, layout)
    gpus = made.resources.slurm.gpus
    unit = "GPU-hours" if gpus else "core-hours"
    each = gpus or made.resources.processes * (made.resources.slurm.cpus or made.resources.threads)
    hours = "unknown" if guess.hours is None else f"about {guess.hours * each:.2g}"
    console.console.print(
        f"{made.sweep}: {len(runs)} runs in {jobs} jobs, arrays of {limits.array_tasks} at most"
    )
    if limits.jobs is not None:
        console.console.print(f"the site lets this user submit {limits.jobs} more jobs now")
    console.console.print(
        f"{unit}: {hours}, from the speed of earlier runs like {guess.measured} of these; "
        f"{guess.unknown} are like none that was measured"
    )
    _print_place(layout)
    console.console.print("Nothing was submitted or written.")
