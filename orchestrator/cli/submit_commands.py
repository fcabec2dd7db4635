"""The commands that give runs to an executor and take them back: `submit`, `resume`, `cancel`."""

from __future__ import annotations

from dataclasses import replace
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
from tausweep.storage.layout import StoreLayout

if TYPE_CHECKING:
    from tausweep.orchestrator.plan.plan import Plan

ExecutorName = Annotated[str, typer.Option("--executor", help="local, slurm or ray.")]
WatchJobs = Annotated[
    bool,
    typer.Option(
        "--watch", help="Stay until all is done; submit more as a site's limits allow (slurm, ray)."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT|ray://…|http://…",
        help="The Ray cluster; ray.address by default.",
    ),
]


def submit(
    file: SweepFile,
    overrides: Overrides = None,
    executor: ExecutorName = "local",
    profile: ProfileName = None,
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show batch scripts, jobs and hours; submit and write nothing.")
    ] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Run the cheapest run first; go on if it succeeds (slurm).")
    ] = False,
    watch: WatchJobs = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Execute a sweep in the background and return at once."""
    from tausweep.orchestrator.cli import options
    from tausweep.orchestrator.execution import local_site, ray_site, run_states, slurm_site
    from tausweep.orchestrator.executors import registry
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console, plan_tables

    registry.require_executor(executor)
    options.require_use(executor, {"--profile": profile, "--dry-run": dry_run, "--canary": canary}, "slurm")
    options.require_use(executor, {"--watch": watch}, "slurm", "ray")
    options.require_use(executor, {"--address": address}, "ray")
    layout = access.open_store(store)
    access.require_writable(layout)
    made = options.planned(file, overrides, layout, jobs=True)
    if executor == "slurm":
        made = replace(slurm_site.on_site(made, layout, profile), executor=executor)
        if dry_run:
            slurm_site.print_dry_run(made, layout)
            return
        prepare(made, layout)
        slurm_site.submit(made, layout, canary=canary, watch=watch)
        return
    if executor == "ray":
        made = replace(ray_site.on_cluster(made, address), executor=executor)
        prepare(made, layout)
        ray_site.submit(made, layout, watch=watch)
        return
    made.resources.worker_count(
        len(made.runs)
    )  # refuses what this machine has not, before anything is written
    prepare(made, layout)
    todo = run_states.todo(run_states.settled(made, layout))
    if not todo:
        console.console.print(f"{made.sweep}: nothing to do; {plan_tables.summary(made)}")
        return
    job_id, pid = local_site.detach(made.sweep, layout)
    console.console.print(
        f"{made.sweep}: {len(todo)} runs submitted to this machine, job {job_id} (pid {pid})\n"
        f"output: {layout.job_log(job_id)}\nfollow with: tausweep status {made.sweep} --watch --store {store}",
        soft_wrap=True,
    )


def resume(
    sweep: SweepName,
    where: Where = None,
    failed: Annotated[bool, typer.Option("--failed", help="Also runs that failed by themselves.")] = False,
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="local, slurm or ray; by default the one that has the sweep."),
    ] = None,
    profile: ProfileName = None,
    address: Address = None,
    watch: WatchJobs = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Continue a sweep at once: unfinished, cancelled and lost runs.

    Lost are runs whose worker was killed. Runs that failed by themselves are taken up only with --failed.
    """
    from tausweep.orchestrator.cli import options
    from tausweep.orchestrator.execution import local_site, ray_site, run_states, slurm_site
    from tausweep.orchestrator.execution import prepare as execution_prepare
    from tausweep.orchestrator.executors import registry
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    if executor is not None:
        registry.require_executor(executor)
    made = selection.stored(sweep, layout, where, jobs=True)
    executor = executor or made.executor
    registry.require_executor(executor)
    options.require_use(executor, {"--profile": profile}, "slurm")
    options.require_use(executor, {"--watch": watch}, "slurm", "ray")
    options.require_use(executor, {"--address": address}, "ray")
    made = replace(made, executor=executor)
    if executor == "slurm":
        made = slurm_site.on_site(made, layout, profile, stored=True)
    if executor == "ray":
        made = ray_site.on_cluster(made, address)
    execution_prepare.remember_executor(made, layout)
    states = ("cancelled", "failed") if failed else ("cancelled",)
    chosen = [r for r in made.runs if r.status.state in states or r.status.failure == "lost_worker"]
    # A minute, where workers of other machines are silent.
    with console.console.status("looking for heartbeats"):
        run_states.reopen([layout.run(run.run_id) for run in chosen])
    if executor == "slurm":
        slurm_site.submit(made, layout, canary=False, watch=watch)
    elif executor == "ray":
        ray_site.submit(made, layout, watch=watch)
    else:
        local_site.execute(made, layout)


def cancel(sweep: SweepName, where: Where = None, store: Store = DEFAULT_STORE) -> None:
    """Stop runs with a checkpoint, and keep others from starting.

    `resume` takes them up again.
    """
    from tausweep.orchestrator.execution import run_states
    from tausweep.orchestrator.executors import job_records
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    made = selection.stored(sweep, layout, where, jobs=True)
    chosen = [run for run in made.runs if run.status.state not in ("succeeded", "cancelled")]
    for run in chosen:
        run_states.cancel(layout.run(run.run_id))
    console.console.print(f"{made.sweep}: {len(chosen)} of {len(made.runs)} runs cancelled")
    jobs = job_records.cancel_jobs(made.sweep, layout)
    if jobs:
        console.console.print(f"{jobs} jobs of a scheduler that have no other run cancelled")


def prepare(made: Plan, layout: StoreLayout) -> None:
    """Write what workers need, with progress."""
    from tausweep.orchestrator.execution import prepare as execution_prepare
    from tausweep.orchestrator.terminal import plan_tables
    from tausweep.orchestrator.terminal import progress as terminal_progress

    plan_tables.print_remarks(made)
    with terminal_progress.counting("preparing images") as progress:
        execution_prepare.prepare(made, layout, progress)
