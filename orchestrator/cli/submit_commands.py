"""The commands that give runs to an executor and take them back: `submit`, `resume`, `cancel`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tausweep.orchestrator.cli.options import (
    DEFAULT_STORE,
    Overrides,
    ProfileName,
    Store,
    SweepFile,
    SweepName,
    Where,
)
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout

if TYPE_CHECKING:
    from tausweep.orchestrator.plan.plan import Plan

ExecutorName = Annotated[str, typer.Option("--executor", help="local, slurm or ray.")]
WatchJobs = Annotated[
    bool,
    typer.Option("--watch", help="Stay until all runs are done; submit more as limits allow (slurm, ray)."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT|ray://…|http://…",
        help="The Ray cluster (default: ray.address).",
    ),
]


@contextmanager
def continued_by(*words: str, store: StoreLayout) -> Iterator[None]:
    """Where what is done here is stopped or breaks off, print the command that continues it.

    Args:
        words: of the command, after `tausweep`.
        store: where it works.
    """
    from tausweep.orchestrator.execution.site import EXIT_INTERRUPTED
    from tausweep.orchestrator.terminal import console

    command = shlex.join(["tausweep", *words, "--store", str(store.root)])
    try:
        yield
    except (typer.Exit, TausweepError) as end:
        if isinstance(end, TausweepError) or end.exit_code == EXIT_INTERRUPTED:
            console.console.print(f"continue with: {command}", soft_wrap=True)
        raise


def submit(
    file: SweepFile,
    overrides: Overrides = None,
    executor: ExecutorName = "local",
    profile: ProfileName = None,
    address: Address = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show scripts, jobs and hours; submit and write nothing (slurm)."),
    ] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Run the cheapest run first, the rest if it succeeds (slurm).")
    ] = False,
    watch: WatchJobs = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Run a sweep in the background or on a cluster."""
    from tausweep.orchestrator.cli.options import planned
    from tausweep.orchestrator.execution.site import SiteOptions, site_of
    from tausweep.orchestrator.stores import access

    layout = access.open_store(store)
    options = SiteOptions(profile=profile, dry_run=dry_run, canary=canary, watch=watch, address=address)
    site = site_of(executor, layout, options)
    access.require_writable(layout)
    plan = planned(file, overrides, layout, jobs=True)
    plan.require_complete()
    plan = site.place(plan)
    if dry_run:
        site.preview(plan)
        return
    prepare(plan, layout)
    site.submit(plan)


def resume(
    sweep: SweepName,
    where: Where = None,
    failed: Annotated[bool, typer.Option("--failed", help="Include runs that failed on their own.")] = False,
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="local, slurm or ray (default: where the sweep ran last)."),
    ] = None,
    profile: ProfileName = None,
    address: Address = None,
    watch: WatchJobs = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Continue unfinished, cancelled and lost runs of a sweep.

    A run is lost if its worker was killed. Runs that failed on their own are tried again only with --failed.
    """
    from tausweep.orchestrator.execution import prepare as execution_prepare
    from tausweep.orchestrator.execution import run_states
    from tausweep.orchestrator.execution.site import SiteOptions, site_of
    from tausweep.orchestrator.executors import registry
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    if executor is not None:
        registry.require_executor(executor)
    plan = selection.stored(sweep, layout, where, jobs=True)
    options = SiteOptions(profile=profile, watch=watch, address=address)
    site = site_of(executor or plan.executor, layout, options)
    plan = site.place(plan, stored=True)
    execution_prepare.remember_executor(plan, layout)
    states = ("cancelled", "failed") if failed else ("cancelled",)
    chosen = [r for r in plan.runs if r.status.state in states or r.status.failure == "lost_worker"]
    # A minute, where workers of other machines are silent.
    with console.console.status("looking for heartbeats"):
        run_states.reopen([layout.run(run.run_id) for run in chosen])
    with continued_by("resume", sweep, *(where or []), store=layout):
        site.resume(plan)


def cancel(sweep: SweepName, where: Where = None, store: Store = DEFAULT_STORE) -> None:
    """Stop runs with a checkpoint; `resume` continues them.

    Runs that have not begun will not begin.
    """
    from tausweep.orchestrator.execution import run_states
    from tausweep.orchestrator.executors import job_records
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    plan = selection.stored(sweep, layout, where, jobs=True)
    chosen = [run for run in plan.runs if run.status.state not in ("succeeded", "cancelled")]
    for run in chosen:
        run_states.cancel(layout.run(run.run_id))
    console.console.print(f"{plan.sweep}: {len(chosen)} of {len(plan.runs)} runs cancelled")
    jobs = job_records.cancel_jobs(plan.sweep, layout)
    if jobs:
        console.console.print(f"cancelled {jobs} scheduler jobs that had nothing left to run")


def prepare(plan: Plan, layout: StoreLayout) -> None:
    """Write what workers need, with progress."""
    from tausweep.orchestrator.execution import prepare as execution_prepare
    from tausweep.orchestrator.terminal import plan_tables
    from tausweep.orchestrator.terminal import progress as terminal_progress

    plan_tables.print_remarks(plan)
    with terminal_progress.counting("preparing images") as progress:
        execution_prepare.prepare(plan, layout, progress)
