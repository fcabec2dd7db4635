"""The command `tausweep`.

Each command reads its options, calls a module below and prints. Imports stand inside the commands: `--help`, `plan`,
`status` and `query` load no torch, and help is there at once.
"""

from __future__ import annotations

import os
import sys
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
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import io_errors

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


app.command()(sweep_commands.plan)
app.command()(sweep_commands.run)
app.command()(submit_commands.submit)
app.command(hidden=True)(sweep_commands.execute)
app.command()(submit_commands.resume)
app.command()(sweep_commands.status)
app.command()(sweep_commands.logs)
app.command()(submit_commands.cancel)
app.command()(store_commands.query)
app.command()(store_commands.compact)
app.command()(store_commands.export)
app.command("export-pipeline")(store_commands.export_pipeline)
app.command("import")(store_commands.import_store)
app.add_typer(store_commands.store_app, name="store")
app.add_typer(data_commands.data_app, name="data")
app.command()(result_commands.resolve)
app.command()(result_commands.figures)
app.command()(result_commands.report)
app.command()(refine_command.refine)
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
