"""The command `tausweep`.

Each command reads its options, calls one function of a module below and prints. Imports stand inside the commands:
`--help`, `plan`, `status` and `query` load no torch, and help is there at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from storage.errors import InputError, TausweepError, nearest
from storage.layout import StoreLayout

if TYPE_CHECKING:
    from orchestrator.plan import Plan

_SHOWN = 200
_EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Sweeps of diffusion-model trainings, from one file to the scaling law of memorisation.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Store = Annotated[
    Path,
    typer.Option("--store", envvar="TAUSWEEP_STORE", help="Folder of the results store.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SweepFile = Annotated[
    str, typer.Argument(metavar="SWEEP.yaml", help="Sweep file, or the name of a shipped sweep.")
]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep of the store, or its file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Override settings: n=8,16 lr=1e-3 name=try."),
]
Where = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Only runs with these settings: n=32 optimizer=adam."),
]
_DEFAULT_STORE = Path("runs")


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"tausweep {version_of('tausweep')}")  # noqa: T201
        raise typer.Exit


@app.command()
def plan(
    file: SweepFile, overrides: Overrides = None, as_json: AsJson = False, store: Store = _DEFAULT_STORE
) -> None:
    """Show the grid: what is done, running and missing. Writes nothing."""
    from orchestrator import output

    made = _plan(file, overrides, store)
    rows = [_run_row(run, made.axes) for run in made.runs]
    if as_json:
        output.print_json(
            {
                "sweep": made.sweep,
                "store": str(store),
                "counts": _counts(made),
                "steps_left": made.steps_left,
                "runs": [{**run.settings, "run_id": run.run_id, "tau": run.status.tau} for run in made.runs],
            }
        )
        return
    output.print_table(["run", *made.axes, "p", "batch", "steps", "state"], rows[:_SHOWN])
    if len(rows) > _SHOWN:
        output.console.print(f"… and {len(rows) - _SHOWN} more; --json prints all")
    sizes = dict.fromkeys((run.spec.model.W, run.p) for run in made.runs)
    output.console.print("\n" + ", ".join(f"W={W}: p={p:,}" for W, p in sorted(sizes)))
    output.console.print(f"{_count_words(made)}; {made.steps_left:,} steps to do. Nothing was written.")


@app.command()
def run(
    file: SweepFile,
    overrides: Overrides = None,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Execute what is missing of a sweep on this machine. Ctrl-C leaves a sweep that the same command continues."""
    _execute(_plan(file, overrides, store), store)


@app.command()
def submit(
    file: SweepFile,
    overrides: Overrides = None,
    executor: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    store: Store = _DEFAULT_STORE,
) -> None:
    """Execute a sweep in the background and return at once."""
    from orchestrator import launch, output, submission

    submission.require_executor(executor)
    made = _plan(file, overrides, store)
    layout = StoreLayout(store)
    _settled(made, layout)
    _prepare(made, layout)
    todo = launch.todo(launch.refresh(made, layout))
    if not todo:
        output.console.print(f"{made.sweep}: nothing to do; {_count_words(made)}")
        return
    job_id, pid = submission.detach(made.sweep, layout)
    output.console.print(
        f"{made.sweep}: {len(todo)} runs submitted to this machine, job {job_id} (pid {pid})\n"
        f"output: {layout.job_log(job_id)}\nfollow with: tausweep status {made.sweep} --watch --store {store}"
    )


@app.command(hidden=True)
def execute(sweep: SweepName, store: Store = _DEFAULT_STORE) -> None:
    """Execute what is to do of a stored sweep: the process that `submit` leaves behind."""
    _execute(_stored(sweep, store), store)


@app.command()
def resume(
    sweep: SweepName,
    where: Where = None,
    failed: Annotated[bool, typer.Option("--failed", help="Also runs that failed by themselves.")] = False,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Continue a sweep: unfinished, cancelled and lost runs.

    Lost are runs whose worker was killed. Runs that failed by themselves are taken up only with --failed.
    """
    from orchestrator import launch

    layout = StoreLayout(store)
    made = _stored(sweep, store)
    for run in _chosen(made, where):
        lost = run.status.failure == "lost_worker"
        if run.status.state == "cancelled" or (run.status.state == "failed" and (failed or lost)):
            launch.reopen(layout.run(run.run_id))
    _execute(made, store)


@app.command()
def status(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[SWEEP]", help="A sweep; all of them by default.")
    ] = None,
    where: Where = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show again every two seconds until all is done.")
    ] = False,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Show where sweeps stand. Writes nothing."""
    from orchestrator import output

    while True:
        plans = [_stored(name, store) for name in ([sweep] if sweep else StoreLayout(store).sweep_names())]
        if watch and output.console.is_terminal:
            output.console.clear()
        _print_status(plans, where, as_json=as_json, single=sweep is not None, store=store)
        if not watch or not any(made.count("pending", "submitted", "running", "preempted") for made in plans):
            return
        time.sleep(2)


@app.command()
def logs(
    target: Annotated[
        str, typer.Argument(metavar="RUN|SWEEP", help="Run id (its beginning is enough) or sweep.")
    ],
    failed: Annotated[
        bool, typer.Option("--failed", help="Failures of a sweep, grouped by traceback.")
    ] = False,
    as_json: AsJson = False,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Show what a run printed, or the failures of a sweep."""
    from orchestrator import output
    from orchestrator.failures import group_failures

    layout = StoreLayout(store)
    if not failed and (found := [i for i in layout.run_ids() if i.startswith(target)]):
        _print_log(layout, target, found)
        return
    made = _stored(target, store)
    groups = group_failures(layout, [run.run_id for run in made.runs])
    if as_json:
        output.print_json([vars(group) for group in groups])
        return
    if not groups:
        output.console.print(f"{made.sweep}: no run has failed; {_count_words(made)}")
    for group in groups:
        output.console.print(
            f"{len(group.run_ids)} × {group.failure}: {group.error}", style="bold", markup=False
        )
        output.console.print(group.traceback.rstrip(), markup=False)
        for run_id, log in zip(group.run_ids, group.logs, strict=True):
            output.console.print(f"  {run_id}  {log}", markup=False)


@app.command()
def cancel(sweep: SweepName, where: Where = None, store: Store = _DEFAULT_STORE) -> None:
    """Stop runs with a checkpoint, and keep others from starting.

    `resume` takes them up again.
    """
    from orchestrator import launch, output

    layout = StoreLayout(store)
    made = _stored(sweep, store)
    chosen = [run for run in _chosen(made, where) if run.status.state not in ("succeeded", "cancelled")]
    for run in chosen:
        launch.cancel(layout.run(run.run_id))
    output.console.print(f"{made.sweep}: {len(chosen)} of {len(made.runs)} runs cancelled")


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT over runs, attempts, sweeps, metrics, neighbours, evaluations.")
    ],
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")] = None,
    as_json: AsJson = False,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Answer a question in SQL; the store is read, never written."""
    from orchestrator.answers import write_answer
    from storage.scan import query as answer

    _require_store(store)
    write_answer(answer(StoreLayout(store), sql), "json" if as_json else form, out)


@app.command()
def resolve(sweep: SweepName, as_json: AsJson = False, store: Store = _DEFAULT_STORE) -> None:
    """Fit tau_mem and tau_gen of a sweep against n.

    Each fit has its interval and says how many runs never crossed. Writes nothing.
    """
    from orchestrator import analysis, output

    fitted = analysis.resolve_sweep(_stored(sweep, store), StoreLayout(store))
    if as_json:
        output.print_json(fitted.model_dump(mode="json"))
        return
    analysis.print_fits(fitted)


@app.command()
def figures(
    sweep: SweepName,
    form: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; the store's figures by default.")
    ] = None,
    store: Store = _DEFAULT_STORE,
) -> None:
    """Draw the figures of a sweep."""
    from orchestrator import analysis, output
    from orchestrator.figures import Format

    if form not in get_args(Format):
        raise InputError(f"--format {form}: {nearest(form, get_args(Format))}")
    made, layout = _stored(sweep, store), StoreLayout(store)
    drawn, skipped = analysis.draw_sweep(made, layout, out or layout.figures(made.sweep), cast(Format, form))
    for path in drawn:
        output.console.print(str(path), markup=False)
    for name, reason in skipped.items():
        output.console.print(f"{name}: not drawn, {reason}", markup=False)


def _plan(file: str, overrides: Sequence[str] | None, store: Path) -> Plan:
    from orchestrator import output
    from orchestrator.plan import make_plan
    from orchestrator.sweepfile import find_sweep, read_sweep

    sweep = read_sweep(find_sweep(file), overrides or [])
    with output.console.status("planning"):  # a model of a new size is counted by a process that loads torch
        return make_plan(sweep, StoreLayout(store))


def _require_store(store: Path) -> None:
    if not StoreLayout(store).sweeps.is_dir():
        raise InputError(f"--store {store}: no sweep has been run into this store; is the path right?")


def _stored(sweep: str, store: Path) -> Plan:
    """The plan of a sweep by its name, or by its file (`quickstart.yaml`, or its path)."""
    from orchestrator.plan import stored_plan

    _require_store(store)
    layout = StoreLayout(store)
    name = sweep
    if sweep.endswith((".yaml", ".yml")) and Path(sweep).exists():
        from orchestrator.sweepfile import read_sweep

        name = read_sweep(Path(sweep)).name
    if name not in layout.sweep_names():
        raise InputError(f"{sweep}: no such sweep in {store}; {nearest(name, layout.sweep_names())}")
    return stored_plan(name, layout)


def _chosen(made: Plan, where: Sequence[str] | None) -> list[Any]:
    from orchestrator.filters import matches, parse_where

    parsed = parse_where(where or [], extra=["state", "p"])
    return [run for run in made.runs if matches(parsed, run.settings)]


def _execute(made: Plan, store: Path) -> None:
    from orchestrator import launch, output

    layout = StoreLayout(store)
    _settled(made, layout)
    _prepare(made, layout)
    made = launch.refresh(made, layout)
    todo = launch.todo(made)
    if todo or made.count("running"):
        workers = made.resources.worker_count(len(todo)) if todo else 0
        output.console.print(
            f"{made.sweep}: {len(todo)} of {len(made.runs)} runs to do, {workers} workers, store {store}"
        )
        try:
            with output.ProgressView(made) as view:
                made = launch.execute(made, layout, view.update)
        except KeyboardInterrupt:
            output.console.print(
                f"stopped; the same command, or `tausweep resume {made.sweep}`, goes on from here"
            )
            raise typer.Exit(_EXIT_INTERRUPTED) from None
    output.console.print(f"{made.sweep}: {_count_words(made)}")
    failed = made.count("failed")
    if failed:
        output.console.print(f"see why: tausweep logs {made.sweep} --failed --store {store}")
        raise typer.Exit(1)


def _prepare(made: Plan, layout: StoreLayout) -> None:
    from orchestrator import launch, output

    with output.counting("preparing images") as progress:
        launch.prepare(made, layout, progress)


def _settled(made: Plan, layout: StoreLayout) -> None:
    from orchestrator import launch

    for run in made.runs:
        launch.settle(layout.run(run.run_id))


def _counts(made: Plan) -> dict[str, int]:
    from storage.attempts import STATES

    return {state: made.count(state) for state in STATES if made.count(state)} | {"runs": len(made.runs)}


def _count_words(made: Plan) -> str:
    counts = _counts(made)
    total = counts.pop("runs")
    return f"{total} runs: " + ", ".join(f"{count} {state}" for state, count in counts.items())


def _run_row(run: Any, axes: Sequence[str]) -> list[Any]:
    settings = run.settings
    return [
        run.run_id,
        *(settings.get(axis) for axis in axes),
        run.p,
        settings["batch"],
        settings["steps"],
        run.status.state,
    ]


def _print_status(
    plans: Sequence[Plan], where: Sequence[str] | None, *, as_json: bool, single: bool, store: Path
) -> None:
    from orchestrator import output

    if as_json:
        output.print_json(
            [
                {
                    "sweep": made.sweep,
                    "counts": _counts(made),
                    "steps_left": made.steps_left,
                    "runs": [
                        {**run.settings, **run.status.model_dump(mode="json")} for run in _chosen(made, where)
                    ],
                }
                for made in plans
            ]
        )
        return
    if not plans:
        output.console.print(f"no sweep in {store} yet")
        return
    if not single:
        states = sorted({state for made in plans for state in _counts(made)} - {"runs"})
        rows = [
            [made.sweep, len(made.runs), *(_counts(made).get(s, 0) for s in states), made.steps_left]
            for made in plans
        ]
        output.print_table(["sweep", "runs", *states, "steps left"], rows)
        return
    made = plans[0]
    rows = []
    for run in _chosen(made, where)[:_SHOWN]:
        s = run.status
        settings = run.settings
        rows.append(
            [
                run.run_id,
                *(settings.get(axis) for axis in made.axes),
                s.state,
                f"{s.tau:,}/{run.spec.training.steps:,}",
                None if s.steps_per_second is None else round(s.steps_per_second, 1),
                s.attempt,
                s.failure,
            ]
        )
    output.print_table(["run", *made.axes, "state", "tau", "steps/s", "attempt", "failure"], rows)
    output.console.print(f"\n{_count_words(made)}; {made.steps_left:,} steps to do")


def _print_log(layout: StoreLayout, target: str, found: list[str]) -> None:
    if len(found) > 1:
        raise InputError(f"{target}: {len(found)} runs begin so ({', '.join(found[:5])} …); give more digits")
    run = layout.run(found[0])
    numbers = run.attempt_numbers()
    if not numbers:
        raise InputError(f"{found[0]}: the run has not been started, there is no log")
    log = run.log(numbers[-1])
    print(f"{log} (attempt {numbers[-1]} of {len(numbers)})")  # noqa: T201
    print(log.read_text(errors="replace") if log.exists() else "nothing was printed")  # noqa: T201


def main() -> None:
    """Run the command line; errors of ours become one message and their exit code."""
    if "RICH_TRACEBACK" not in os.environ:
        os.environ["_TYPER_STANDARD_TRACEBACK"] = "1"
    try:
        app()
    except TausweepError as error:
        print(f"tausweep: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout away so that Python's exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
