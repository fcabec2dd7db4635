"""The command `tausweep`.

Each command reads its options, calls a module below and prints. Imports stand inside the commands: `--help`, `plan`,
`status` and `query` load no torch, and help is there at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from tausweep.orchestrator.cli import (
    data_commands,
    refine_command,
    result_commands,
    spectrum_command,
    store_commands,
    submit_commands,
    sweep_commands,
)
from tausweep.orchestrator.cli.help_pages import GroupedCommands
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import io_errors

app = typer.Typer(
    cls=GroupedCommands,
    help="Sweeps of diffusion-model trainings, from one file to the scaling law of memorisation.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from tausweep import __version__

        print(f"tausweep {__version__}")  # noqa: T201
        raise typer.Exit


_GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Run": {
        "plan": sweep_commands.plan,
        "run": sweep_commands.run,
        "submit": submit_commands.submit,
        "resume": submit_commands.resume,
        "cancel": submit_commands.cancel,
    },
    "Watch": {"status": sweep_commands.status, "logs": sweep_commands.logs},
    "Results": {
        "resolve": result_commands.resolve,
        "figures": result_commands.figures,
        "report": result_commands.report,
        "refine": refine_command.refine,
        "query": store_commands.query,
        "spectrum": spectrum_command.spectrum,
    },
    "Store": {
        "compact": store_commands.compact,
        "export": store_commands.export,
        "export-pipeline": store_commands.export_pipeline,
        "import": store_commands.import_store,
    },
}
"""Heading of the help page → its commands."""

for _heading, _commands in _GROUPS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_heading)(_command)
app.add_typer(store_commands.store_app, name="store", rich_help_panel="Store")
app.add_typer(data_commands.data_app, name="data", rich_help_panel="Data")
app.command("execute", hidden=True)(sweep_commands.execute)


def main() -> None:
    """Run the command line; errors of ours, and those of disks, become one message and their exit code."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, so that a pipe that was closed is met here too
    except TausweepError as error:
        print(f"tausweep: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout away so that Python's exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as click does where it meets the closed pipe
    except io_errors() as error:  # a full disk, no permission: Python names the file
        print(f"tausweep: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
