"""The commands that give runs to an executor and take them back: `submit`, `resume`, `cancel`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.options import DEFAULT_STORE, Overrides, Store, SweepFile, SweepName, Where
from storage.errors import InputError
from storage.layout import StoreLayout

if TYPE_CHECKING:
    from orchestrator.feeding import Fed, Scheduler
    from orchestrator.plan import Plan

ExecutorName = Annotated[str, typer.Option("--executor", help="local, slurm or ray.")]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME|FILE.yaml", help="What jobs ask of this site's SLURM."),
]
WatchJobs = Annotated[
    bool,
    typer.Option("--watch", help="Stay: submit more as the site's limits allow, until all is done (slurm)."),
]


def submit(
    file: SweepFile,
    overrides: Overrides = None,
    executor: ExecutorName = "local",
    profile: ProfileName = None,
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
    from orchestrator import launch, listing, output, selection, submission

    submission.require_executor(executor)
    _require_slurm(
        executor, {"--profile": profile, "--dry-run": dry_run, "--canary": canary, "--watch": watch}
    )
    layout = selection.open_store(store)
    selection.require_writable(layout)
    made = selection.planned(file, overrides, layout)
    if executor == "slurm":
        made = replace(_on_site(made, layout, profile), executor=executor)
        if dry_run:
            _print_dry_run(made, layout)
            return
        prepare(made, layout)
        _to_slurm(made, layout, canary=canary, watch=watch)
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
    watch: WatchJobs = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Continue a sweep at once: unfinished, cancelled and lost runs.

    Lost are runs whose worker was killed. Runs that failed by themselves are taken up only with --failed.
    """
    from orchestrator import execution, launch, output, selection, submission

    layout = selection.open_store(store)
    if executor is not None:
        submission.require_executor(executor)
    made = selection.stored(sweep, layout, where)
    executor = executor or made.executor
    submission.require_executor(executor)
    _require_slurm(executor, {"--profile": profile, "--watch": watch})
    made = replace(made, executor=executor)
    if executor == "slurm":
        made = _on_site(made, layout, profile, stored=True)
    launch.remember_executor(made, layout)
    states = ("cancelled", "failed") if failed else ("cancelled",)
    chosen = [r for r in made.runs if r.status.state in states or r.status.failure == "lost_worker"]
    # A minute, where workers of other machines are silent.
    with output.console.status("looking for heartbeats"):
        launch.reopen([layout.run(run.run_id) for run in chosen])
    if executor == "slurm":
        _to_slurm(made, layout, canary=False, watch=watch)
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
    from orchestrator import launch, output

    with output.counting("preparing images") as progress:
        launch.prepare(made, layout, progress)


def _require_slurm(executor: str, options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given and executor != "slurm":
        raise InputError(f"{given[0]}: only with --executor slurm; {executor} has no use for it")


def _on_site(made: Plan, layout: StoreLayout, profile: str | None, *, stored: bool = False) -> Plan:
    """The plan with the site's profile in its resources; refuses what no job can have, before anything is written."""
    from orchestrator.executors.slurm import parameters, require_shared
    from orchestrator.profiles import read_profile, with_profile

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
    from orchestrator.submission import executor_of

    return cast("Scheduler", executor_of("slurm"))


def _to_slurm(made: Plan, layout: StoreLayout, *, canary: bool, watch: bool) -> None:
    from orchestrator import feeding, launch, listing, output

    made = launch.settled(made, layout)
    scheduler = _scheduler()
    if canary:
        with output.ProgressView(made) as view:
            feeding.canary(made, layout, scheduler, view.update)
        made = launch.refresh(made, layout)
    fed = feeding.feed(made, layout, scheduler)
    _print_fed(made, layout, fed)
    if not watch:
        return
    try:
        with output.ProgressView(made) as view:
            made = feeding.watch_jobs(made, layout, scheduler, view.update)
    except KeyboardInterrupt:
        output.console.print("stopped watching; jobs that were submitted go on")
        raise typer.Exit(130) from None
    output.console.print(f"{made.sweep}: {listing.summary(made)}")
    if made.count("failed"):
        output.console.print(f"see why: tausweep logs {made.sweep} --failed --store {layout.root}")
        raise typer.Exit(1)


def _print_fed(made: Plan, layout: StoreLayout, fed: Fed) -> None:
    from orchestrator import output
    from orchestrator.executors import slurm_queue

    arrays = sorted({str(job.details["array"]) for job in fed.jobs}, key=int)
    if fed.jobs:
        output.console.print(
            f"{made.sweep}: {fed.runs} runs in {len(fed.jobs)} jobs submitted to SLURM: {', '.join(arrays)}"
        )
    elif not fed.left:
        output.console.print(
            f"{made.sweep}: nothing to submit; all runs are done, or in jobs that wait or run"
        )
    if fed.left:
        output.console.print(
            f"{fed.left} runs are left: {fed.why}. Hand them over with\n"
            f"  tausweep resume {made.sweep} --store {layout.root}\n"
            "as jobs end, or have --watch do it",
            soft_wrap=True,
        )
    told = ", ".join(f"{name} {count}" for name, count in sorted(slurm_queue.calls.items()))
    output.console.print(f"SLURM was asked: {told}")
    output.console.print(f"follow with: tausweep status {made.sweep} --store {layout.root}", soft_wrap=True)


def _print_dry_run(made: Plan, layout: StoreLayout) -> None:
    from orchestrator import feeding, output
    from orchestrator.estimate import estimate
    from orchestrator.executors.slurm import SlurmExecutor, shared_file_system
    from orchestrator.submission import given_jobs

    executor = SlurmExecutor()
    runs = feeding.open_runs(made, given_jobs(made.sweep, layout))
    jobs = len(feeding.cut(runs, made.resources.slurm.runs_per_job)) if runs else 0
    limits = executor.limits(made.resources)
    sizes = {min(limits.array_tasks, jobs), jobs % limits.array_tasks} - {0}
    for tasks in sorted(sizes, reverse=True):
        output.console.print(
            executor.script(layout, made.resources, name=made.sweep, tasks=tasks), soft_wrap=True
        )
    guess = estimate(runs, layout)
    gpus = made.resources.slurm.gpus
    unit = "GPU-hours" if gpus else "core-hours"
    each = gpus or made.resources.processes * (made.resources.slurm.cpus or made.resources.threads)
    hours = "unknown" if guess.hours is None else f"about {guess.hours * each:.2g}"
    output.console.print(
        f"{made.sweep}: {len(runs)} runs in {jobs} jobs, arrays of {limits.array_tasks} at most"
    )
    if limits.jobs is not None:
        output.console.print(f"the site lets this user submit {limits.jobs} more jobs now")
    output.console.print(
        f"{unit}: {hours}, from the speed of earlier runs like {guess.measured} of these; "
        f"{guess.unknown} are like none that was measured"
    )
    kind, shared = shared_file_system(layout.root)
    if not shared:
        output.console.print(
            f"note: the store is on {kind}, which may be this machine's alone; all nodes must see it",
            soft_wrap=True,
        )
    output.console.print("Nothing was submitted or written.")
