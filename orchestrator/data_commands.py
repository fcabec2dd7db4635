"""The commands that bring data into a store by hand: `data fid-weights`.

Registered by `orchestrator.cli`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.options import DEFAULT_STORE, Store

data_app = typer.Typer(help="Bring data into a store.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command("fid-weights")
def fid_weights(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="Weights in torch-fidelity's format.")
    ],
    digest: Annotated[
        str | None,
        typer.Option(help="Take weights whose sha256 begins so, instead of torch-fidelity's own."),
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Copy the Inception weights that FID needs into a store, so that compute nodes need no network."""
    from orchestrator import output, selection
    from orchestrator.fid_weights import KNOWN_DIGEST, stage_weights

    layout = selection.open_store(store)
    selection.require_writable(layout)
    found = stage_weights(source, layout, digest or KNOWN_DIGEST)
    output.console.print(
        f"{layout.root}: sweeps made from now on measure fid with the Inception weights {found}",
        soft_wrap=True,
    )
