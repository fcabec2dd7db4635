"""The commands that give runs to an executor and take them back: `submit`, `resume`, `cancel`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.options import DEFAULT_STORE, Overrides, ProfileName, Store, SweepFile, SweepName, Where
from storage.layout import StoreLayout

if TYPE_CHECKING:
    from orchestrator.plan import Plan

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
    from orchestrator import launch, listing, output, ray_submission, selection, slurm_submission, submission

    submission.require_executor(executor)
    submission.require_use(
        executor, {"--profile": profile, "--dry-run": dry_run, "--canary": canary}, "slurm"
    )
    submission.require_use(executor, {"--watch": watch}, "slurm", "ray")
    submission.require_use(executor, {"--address": address}, "ray")
    layout = selection.open_store(store)
    selection.require_writable(layout)
    made = selection.planned(file, overrides, layout)
    if executor == "slurm":
        made = replace(slurm_submission.on_site(made, layout, profile), executor=executor)
        if dry_run:
            slurm_submission.print_dry_run(made, layout)
            return
        prepare(made, layout)
        slurm_submission.submit(made, layout, canary=canary, watch=watch)
        return
    if executor == "ray":
        made = replace(ray_submission.on_cluster(made, address), executor=executor)
        prepare(made, layout)
        ray_submission.submit(made, layout, watch=watch)
        return
    made.resources.worker_count(
        len(made.runs)
    )  # refuses what this machine has not, before anything is written
    prepare(made, layout)
    todo = launch.todo(launch.settled(made, layout))
    if not todo:
        output.console.print(f"{made.sweep}: nothing to do; {listing.summary(made)}")
        return
    job_id, pid = submission.detach(made.sweep, layout)
    output.console.print(
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
    from orchestrator import (
        execution,
        launch,
        output,
        ray_submission,
        selection,
        slurm_submission,
        submission,
    )

    layout = selection.open_store(store)
    if executor is not None:
        submission.require_executor(executor)
    made = selection.stored(sweep, layout, where)
    executor = executor or made.executor
    submission.require_executor(executor)
    submission.require_use(executor, {"--profile": profile}, "slurm")
    submission.require_use(executor, {"--watch": watch}, "slurm", "ray")
    submission.require_use(executor, {"--address": address}, "ray")
    made = replace(made, executor=executor)
    if executor == "slurm":
        made = slurm_submission.on_site(made, layout, profile, stored=True)
    if executor == "ray":
        made = ray_submission.on_cluster(made, address)
    launch.remember_executor(made, layout)
    states = ("cancelled", "failed") if failed else ("cancelled",)
    chosen = [r for r in made.runs if r.status.state in states or r.status.failure == "lost_worker"]
    # A minute, where workers of other machines are silent.
    with output.console.status("looking for heartbeats"):
        launch.reopen([layout.run(run.run_id) for run in chosen])
    if executor == "slurm":
        slurm_submission.submit(made, layout, canary=False, watch=watch)
    elif executor == "ray":
        ray_submission.submit(made, layout, watch=watch)
    else:
        execution.execute(made, layout)


def cancel(sweep: SweepName, where: Where = None, store: Store = DEFAULT_STORE) -> None:
    """Stop runs with a checkpoint, and keep others from starting.

    `resume` takes them up again.
    """
    from orchestrator import launch, output, selection, submission

    layout = selection.open_store(store)
    made = selection.stored(sweep, layout, where)
    chosen = [run for run in made.runs if run.status.state not in ("succeeded", "cancelled")]
    for run in chosen:
        launch.cancel(layout.run(run.run_id))
    output.console.print(f"{made.sweep}: {len(chosen)} of {len(made.runs)} runs cancelled")
    jobs = submission.cancel_jobs(made.sweep, layout)
    if jobs:
        output.console.print(f"{jobs} jobs of a scheduler that have no other run cancelled")


def prepare(made: Plan, layout: StoreLayout) -> None:
    """Write what workers need, with progress."""
    from orchestrator import launch, listing, output

    listing.print_remarks(made)
    with output.counting("preparing images") as progress:
        launch.prepare(made, layout, progress)
