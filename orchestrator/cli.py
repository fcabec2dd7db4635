"""The command `tausweep`.

Each command reads its options, calls a module below and prints. Imports stand inside the commands: `--help`, `plan`,
`status` and `query` load no torch, and help is there at once.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer

from orchestrator import data_commands, resolver_commands, spectrum_command, store_commands, submit_commands
from orchestrator.options import DEFAULT_STORE, AsJson, Overrides, Store, SweepFile, SweepName, Where
from storage.errors import TausweepError
from storage.objects import io_errors

app = typer.Typer(
    help="Sweeps of diffusion-model trainings, from one file to the scaling law of memorisation.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    file: SweepFile, overrides: Overrides = None, as_json: AsJson = False, store: Store = DEFAULT_STORE
) -> None:
    """Show the grid: what is done, running and missing. Writes nothing."""
    from orchestrator import listing, selection

    layout = selection.open_store(store)
    listing.print_plan(selection.planned(file, overrides, layout), layout, as_json=as_json)


@app.command()
def run(file: SweepFile, overrides: Overrides = None, store: Store = DEFAULT_STORE) -> None:
    """Execute what is missing of a sweep on this machine.

    Ctrl-C leaves a sweep that the same command continues.
    """
    from orchestrator import execution, selection

    layout = selection.open_store(store)
    selection.require_writable(layout)
    made = selection.planned(file, overrides, layout)
    made.resources.worker_count(
        len(made.runs)
    )  # refuses what this machine has not, before anything is written
    submit_commands.prepare(made, layout)
    execution.execute(made, layout)


app.command()(submit_commands.submit)


@app.command(hidden=True)
def execute(sweep: SweepName, store: Store = DEFAULT_STORE) -> None:
    """Execute what is to do of a stored sweep: the process that `submit` leaves behind."""
    from orchestrator import execution, selection

    layout = selection.open_store(store)
    execution.execute(selection.stored(sweep, layout), layout)


app.command()(submit_commands.resume)


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
    store: Store = DEFAULT_STORE,
) -> None:
    """Show where sweeps stand. Writes nothing."""
    from orchestrator import listing, output, selection

    layout = selection.open_store(store)
    if sweep is not None and "=" in sweep:  # a filter on all sweeps
        where = [sweep, *(where or [])]
        sweep = None
    while True:
        names = layout.sweep_names() if sweep is None else [sweep]
        plans = [selection.stored(name, layout, where) for name in names]
        if watch and not as_json:
            output.console.clear()
        if sweep is None:
            listing.print_sweeps(plans, layout, as_json=as_json)
        else:
            listing.print_runs(plans[0], as_json=as_json)
        if not watch or not any(made.count("pending", "submitted", "running", "preempted") for made in plans):
            return
        time.sleep(2)


@app.command()
def logs(
    target: Annotated[
        str, typer.Argument(metavar="RUN|SWEEP", help="Run id (its beginning is enough) or sweep.")
    ],
    where: Where = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Failures of a sweep, grouped by class and message, with what to do."),
    ] = False,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Show what a run printed, or the failures of a sweep."""
    from orchestrator import failures, listing, output, selection

    layout = selection.open_store(store)
    selection.require_store(layout)
    if not failed and target not in layout.sweep_names():
        failures.print_log(layout, target, as_json=as_json)
        return
    made = selection.stored(target, layout, where)
    groups = failures.group_failures(layout, [run.run_id for run in made.runs])
    if as_json:
        output.print_json([vars(group) for group in groups])
    elif groups:
        failures.print_groups(groups)
    else:
        output.console.print(f"{made.sweep}: no run has failed; {listing.summary(made)}")


app.command()(submit_commands.cancel)
app.command()(store_commands.query)
app.command()(store_commands.compact)
app.command()(store_commands.export)
app.command("export-pipeline")(store_commands.export_pipeline)
app.command("import")(store_commands.import_store)
app.add_typer(store_commands.store_app, name="store")
app.add_typer(data_commands.data_app, name="data")
app.command()(resolver_commands.resolve)
app.command()(resolver_commands.figures)
app.command()(resolver_commands.report)
app.command()(resolver_commands.refine)
app.command()(spectrum_command.spectrum)


def main() -> None:
    """Run the command line; errors of ours, and those of disks, become one message and their exit code."""
    try:
        app()
    except TausweepError as error:
        print(f"tausweep: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout away so that Python's exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except io_errors() as error:  # a full disk, no permission: Python names the file
        print(f"tausweep: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
