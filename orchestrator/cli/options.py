"""Options and arguments that commands of several modules share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tausweep.storage.errors import InputError
from tausweep.storage.files.object_store import location

if TYPE_CHECKING:
    from tausweep.orchestrator.plan.plan import Plan
    from tausweep.storage.layout import StoreLayout


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
    bool, typer.Option("--skip-bad", help="Skip damaged and foreign files, and list them on stderr.")
]
SweepFile = Annotated[
    str, typer.Argument(metavar="SWEEP.yaml", help="Sweep file, or the name of a shipped sweep.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Override settings: n=8,16 lr=1e-3 name=try."),
]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A sweep of the store, by its name or its file.")
]
Where = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Only runs with these settings: n=32 optimizer=adam."),
]
Threshold = Annotated[str, typer.Option("--k", help="Threshold of the gap ratio d1/d2, such as 1/3 or 0.4.")]
Criteria = Annotated[
    list[str] | None,
    typer.Option(
        "--criterion",
        help="Replaces the default criteria; may be repeated: f_mem=0.1, f_mem=0.1@k1/2, f_mem=half_max, "
        "loss_gap=0.1@t150, test_loss=min@t150, 'frechet_pca<=1.25*min'. The first for tau_mem decides on memorisation.",
    ),
]
Isotonic = Annotated[
    bool,
    typer.Option("--isotonic", help="Make f_mem and loss gaps monotonic first, by isotonic regression."),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME|FILE.yaml", help="Profile of the SLURM site, by name or file."),
]
DEFAULT_STORE = Path("runs")


def planned(file: str, overrides: Sequence[str] | None, layout: StoreLayout, *, jobs: bool = False) -> Plan:
    """The plan of a sweep file, with a spinner on the terminal: counting the parameters of a new model takes seconds.

    Arguments as of `orchestrator.stores.selection.planned`.

    Raises:
        SweepFileError, DataError, InputError: file or overrides are wrong.
    """
    from tausweep.orchestrator.analysis.runs.options import ResolverOptions
    from tausweep.orchestrator.stores import selection
    from tausweep.orchestrator.terminal import console

    with console.console.status("planning"):
        plan = selection.planned(file, overrides, layout, jobs=jobs)
    try:
        ResolverOptions().or_stated(plan.criteria)
    except InputError as error:
        raise InputError(f"{plan.source}: criteria: {error}") from error
    return plan
