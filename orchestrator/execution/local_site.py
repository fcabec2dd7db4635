"""This machine: sweeps that are executed in the background, or here with progress and an exit code."""

from __future__ import annotations

import subprocess
import sys
import uuid

from tausweep.orchestrator.execution import local_pool, run_states
from tausweep.orchestrator.execution.run_states import Update
from tausweep.orchestrator.execution.site import Site, report_end, stopped_with
from tausweep.orchestrator.executors.local import LocalExecutor
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.terminal import console, plan_tables, progress
from tausweep.storage.files.local_copies import local_log
from tausweep.storage.layout import StoreLayout


class LocalSite(Site):
    """This machine."""

    executor = LocalExecutor

    def resources(self, plan: Plan, *, stored: bool) -> Resources:  # noqa: ARG002 - the same for both
        """The plan's own, if this machine has as many cores."""
        plan.resources.require_cores(len(plan.runs))
        return plan.resources

    def submit(self, plan: Plan) -> None:
        """Leave a process behind that executes what is to do."""
        todo = run_states.todo(run_states.settled(plan, self.layout))
        if not todo:
            console.console.print(f"{plan.sweep}: nothing to do; {plan_tables.summary(plan)}")
            return
        job_id, pid = detach(plan.sweep, self.layout)
        console.console.print(
            f"{plan.sweep}: {len(todo)} runs submitted to this machine, job {job_id} (pid {pid})\n"
            f"output: {self.layout.job_log(job_id)}\n"
            f"follow with: tausweep status {plan.sweep} --watch --store {self.layout.root}",
            soft_wrap=True,
        )

    def resume(self, plan: Plan) -> None:
        """Execute what is to do here and now."""
        execute(plan, self.layout)

    def carry_out(self, plan: Plan, update: Update) -> Plan:
        """Execute what is to do by worker processes."""
        return local_pool.execute(plan, self.layout, update)


def detach(sweep: str, layout: StoreLayout) -> tuple[str, int]:
    """Start the execution of a prepared sweep in the background.

    Returns:
        The job's id, which names its log, and the pid of the process that watches over the workers.
    """
    job_id = f"{sweep}-{uuid.uuid4().hex[:8]}"
    command = ["-P", "-m", "tausweep", "execute", sweep, "--store", str(layout.root.resolve())]
    with local_log(layout.job_log(job_id)).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return job_id, process.pid


def execute(plan: Plan, layout: StoreLayout) -> None:
    """Execute with progress, and say how it ended: exit code 0, 1 if a run failed, 130 if stopped."""
    plan = run_states.settled(plan, layout)
    todo = run_states.todo(plan)
    if todo:
        workers = plan.resources.worker_count(len(todo))
        console.console.print(
            f"{plan.sweep}: {len(todo)} of {len(plan.runs)} runs to do, {workers} workers, store {layout.root}",
        )
        with stopped_with("stopped with a checkpoint of each run"), progress.ProgressView(plan) as view:
            plan = local_pool.execute(plan, layout, view.update)
    report_end(plan, layout)
