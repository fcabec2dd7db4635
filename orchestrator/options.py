"""Options and arguments that commands of several modules share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storage.objects import location

Store = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="TAUSWEEP_STORE",
        help="The results store: a folder, or s3://BUCKET/PREFIX.",
        metavar="PATH",
        parser=location,
        show_default=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="List damaged and foreign files on stderr, and go on without them.")
]
SweepFile = Annotated[
    str, typer.Argument(metavar="SWEEP.yaml", help="Sweep file, or the name of a shipped sweep.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Override settings: n=8,16 lr=1e-3 name=try."),
]
Where = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Only runs with these settings: n=32 optimizer=adam."),
]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep of the store, or its file.")]
DEFAULT_STORE = Path("runs")
