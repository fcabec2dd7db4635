"""Executing a plan on this machine, with progress and an exit code: what `run`, `resume` and `submit` share."""

from __future__ import annotations

import subprocess
import sys
import uuid

import typer

from tausweep.orchestrator.execution import local_pool, run_states
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.terminal import console, plan_tables, progress
from tausweep.storage.files.local_copies import local_log
from tausweep.storage.layout import StoreLayout


def detach(sweep: str, layout: StoreLayout) -> tuple[str, int]:
    """Start the execution of a prepared sweep in the background.

    Returns:
        The job's id, which names its log, and the pid of the process that watches over the workers.
    """
    job_id = f"{sweep}-{uuid.uuid4().hex[:8]}"
    with local_log(layout.job_log(job_id)).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tausweep", "execute", sweep, "--store", str(layout.root.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return job_id, process.pid


EXIT_INTERRUPTED = 130


def execute(made: Plan, layout: StoreLayout) -> None:
    """Execute with progress, and say how it ended: exit code 0, 1 if a run failed, 130 if stopped."""
    made = run_states.settled(made, layout)
    todo = run_states.todo(made)
    if todo:
        workers = made.resources.worker_count(len(todo))
        console.console.print(
            f"{made.sweep}: {len(todo)} of {len(made.runs)} runs to do, {workers} workers, store {layout.root}",
        )
        try:
            with progress.ProgressView(made) as view:
                made = local_pool.execute(made, layout, view.update)
        except KeyboardInterrupt:
            console.console.print(
                f"stopped; the same command, or `tausweep resume {made.sweep}`, goes on from here"
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None
    report_end(made, layout)


def report_end(made: Plan, layout: StoreLayout) -> None:
    """Say how a sweep stands that nobody executes any more.

    Raises:
        typer.Exit: 1 if a run failed.
    """
    console.console.print(f"{made.sweep}: {plan_tables.summary(made)}")
    if made.count("failed"):
        console.console.print(f"see why: tausweep logs {made.sweep} --failed --store {layout.root}")
        raise typer.Exit(1)
