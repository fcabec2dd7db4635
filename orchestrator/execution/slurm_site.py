"""Submitting a sweep to SLURM as the command line does: the site's profile, a dry run, and what became of it in words."""

from __future__ import annotations

from typing import cast

from tausweep.orchestrator.execution import run_states, submission, watching
from tausweep.orchestrator.execution.reconcile import what_happened
from tausweep.orchestrator.execution.run_states import Update
from tausweep.orchestrator.execution.site import Site, report_end, stopped_with
from tausweep.orchestrator.execution.submission import Fed, Scheduler
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.job_records import given_jobs
from tausweep.orchestrator.executors.slurm import queue
from tausweep.orchestrator.executors.slurm.array import SlurmDetails, batch_script, parameters
from tausweep.orchestrator.executors.slurm.executor import SlurmExecutor
from tausweep.orchestrator.executors.slurm.file_system import require_shared, shared_file_system
from tausweep.orchestrator.plan.duration import estimate
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.slurm_profiles import read_profile, with_profile
from tausweep.orchestrator.terminal import console, progress
from tausweep.storage.layout import StoreLayout


class SlurmSite(Site):
    """A SLURM cluster, and the profile of this site's."""

    executor = SlurmExecutor
    requires = "submitit"
    uses = frozenset({"profile", "dry_run", "canary", "watch"})

    @property
    def _scheduler(self) -> Scheduler:
        return cast(Scheduler, registry.executor_of(self.name))

    def resources(self, plan: Plan, *, stored: bool) -> Resources:
        """The plan's, with the site's profile in them; refuses what no job can have."""
        require_shared(self.layout)
        resources = plan.resources
        if self.options.profile is not None:
            fields = read_profile(self.options.profile)
            if stored:  # the record does not tell what the sweep file had set itself
                fields = resources.slurm.model_dump() | fields
                resources = resources.model_copy(update={"slurm": type(resources.slurm)()})
            resources = with_profile(resources, fields)
        parameters(resources)
        self._scheduler.limits(resources)  # an unanswering SLURM is noticed before anything is written
        return resources

    def preview(self, plan: Plan) -> None:
        """Show batch scripts, what sbatch says of them, jobs and hours."""
        print_dry_run(plan, self.layout)

    def submit(self, plan: Plan) -> None:
        """Hand over as many jobs as the site takes; with `watch`, stay until all runs are done.

        Raises:
            TausweepError: sbatch refused, or the canary did not succeed; nothing was submitted then.
            typer.Exit: 1 if a run failed, 130 if the watching was stopped.
        """
        _print_place(self.layout)
        plan = run_states.settled(plan, self.layout)
        if self.options.canary:
            with progress.ProgressView(plan) as view:
                watching.canary(plan, self.layout, self._scheduler, view.update)
            plan = run_states.refresh(plan, self.layout)
        fed = submission.feed(plan, self.layout, self._scheduler)
        _print_fed(plan, self.layout, fed)
        if not self.options.watch:
            return
        with (
            stopped_with("stopped watching; submitted jobs continue"),
            progress.ProgressView(plan) as view,
        ):
            plan = self.carry_out(plan, view.update)
        _print_calls()
        report_end(plan, self.layout)

    def carry_out(self, plan: Plan, update: Update) -> Plan:
        """Feed the plan to SLURM until it is done."""
        return watching.watch_jobs(plan, self.layout, self._scheduler, update)


def _print_fed(plan: Plan, layout: StoreLayout, fed: Fed) -> None:
    for job in fed.idle[:1]:
        console.console.print(
            f"{len(fed.idle)} jobs ended without starting a run. The first: {what_happened(job)}",
            soft_wrap=True,
        )
    arrays = sorted({SlurmDetails.model_validate(job.details).array for job in fed.jobs}, key=int)
    if fed.jobs:
        console.console.print(
            f"{plan.sweep}: {fed.runs} runs in {len(fed.jobs)} jobs submitted to SLURM: {', '.join(arrays)}"
        )
    elif not fed.left:
        console.console.print(
            f"{plan.sweep}: nothing to submit; all runs are done, or in jobs that wait or run"
        )
    if fed.left:
        console.console.print(
            f"{fed.left} runs are not submitted yet: {fed.why}. Submit them with\n"
            f"  tausweep resume {plan.sweep} --store {layout.root}\n"
            "as jobs end, or use --watch",
            soft_wrap=True,
        )
    _print_calls()
    console.console.print(f"follow with: tausweep status {plan.sweep} --store {layout.root}", soft_wrap=True)


def _print_place(layout: StoreLayout) -> None:
    """Warn if the store may be local: it holds all that a job needs, images included, and every node must see it."""
    kind, shared = shared_file_system(layout.root)
    if not shared:
        console.console.print(
            f"note: the store is on {kind}, which other nodes may not see; all nodes must see it",
            soft_wrap=True,
        )


def _print_calls() -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(queue.calls.items()))
    console.console.print(f"calls of SLURM: {counts}")


def print_dry_run(plan: Plan, layout: StoreLayout) -> None:
    """Show what a submission would be: batch scripts, what sbatch says of them, jobs and hours. Writes nothing."""
    executor = SlurmExecutor()
    runs = submission.open_runs(plan, given_jobs(plan.sweep, layout))
    jobs = len(submission.cut(runs, plan.resources.slurm.runs_per_job)) if runs else 0
    limits = executor.limits(plan.resources)
    sizes = {min(limits.array_tasks, jobs), jobs % limits.array_tasks} - {0}
    for tasks in sorted(sizes, reverse=True):
        script = batch_script(layout, plan.resources, name=plan.sweep, tasks=tasks)
        console.console.print(f"{script}\n{executor.test(script)}\n", soft_wrap=True)
    guess = estimate(runs, layout)
    gpus = plan.resources.slurm.gpus
    unit = "GPU-hours" if gpus else "core-hours"
    each = gpus or plan.resources.processes * (plan.resources.slurm.cpus or plan.resources.threads)
    hours = "unknown" if guess.hours is None else f"about {guess.hours * each:.2g}"
    console.console.print(
        f"{plan.sweep}: {len(runs)} runs in {jobs} jobs, arrays of {limits.array_tasks} at most"
    )
    if limits.jobs is not None:
        console.console.print(f"the site lets this user submit {limits.jobs} more jobs now")
    console.console.print(
        f"{unit}: {hours}, from the speed of earlier runs like {guess.measured} of these; "
        f"no earlier run resembles {guess.unknown} of them"
    )
    _print_place(layout)
    console.console.print("Nothing was submitted or written.")
