"""The commands that bring data into a store by hand: `data celeba`, `import`, `list`, and `fid-weights`.

Registered by `orchestrator.cli.app`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tausweep.orchestrator.cli.options import DEFAULT_STORE, AsJson, Store
from tausweep.storage.errors import DataError, UnreadableImageError

if TYPE_CHECKING:
    from tausweep.jobs.data.split import Color
    from tausweep.orchestrator.datasets.named_sets import Expected
    from tausweep.orchestrator.datasets.sources import Source

data_app = typer.Typer(
    help="Prepare image sets and Inception weights in a store.", no_args_is_help=True, rich_markup_mode=None
)

From = Annotated[
    Path,
    typer.Option(
        "--from",
        metavar="PATH",
        help="Folder, ZIP file, Parquet file or folder, or saved Hugging Face data set.",
    ),
]
Size = Annotated[int, typer.Option("--size", min=4, max=512, help="Height and width in pixels.")]
ColorName = Annotated[Literal["grey", "rgb"], typer.Option("--color", help="grey or rgb.")]
SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave out images that cannot be read, and count them.")
]
ExpectDigest = Annotated[
    str | None,
    typer.Option("--expect-digest", metavar="SHA256", help="Refuse originals with another digest."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the set that has this name.")]
Split = Annotated[str | None, typer.Option("--split", help="Split of a table that has several.")]
ImageColumn = Annotated[
    str | None, typer.Option("--image-column", help="Column with the images of a table (default: image).")
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column", help="Column with the classes of a table (default: label, if there is one)."
    ),
]


@data_app.command("celeba")
def celeba(
    place: From,
    size: Size = 32,
    color: ColorName = "grey",
    skip_corrupt: SkipCorrupt = False,
    expect_count: Annotated[
        int, typer.Option("--expect-count", help="Refuse another number of originals.")
    ] = 202_599,
    expect_digest: ExpectDigest = None,
    replace: Replace = False,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Prepare the aligned CelebA, for data: celeba.

    From img_align_celeba.zip, which is not unpacked, or from the folder in it.
    """
    from tausweep.orchestrator.datasets import named_sets

    source = named_sets.open_source(place)
    expected = named_sets.Expected(count=expect_count, digest=expect_digest)
    way = {"skip_corrupt": skip_corrupt, "replace": replace, "as_json": as_json}
    _prepare(source, named_sets.CELEBA, size, color, expected, store, **way)


@data_app.command("import")
def import_images(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name for the sweep file: set: NAME.")],
    place: From,
    size: Size = 32,
    color: ColorName = "grey",
    split: Split = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    class_folders: Annotated[
        bool, typer.Option("--class-folders", help="Take the folder of an image as its class.")
    ] = False,
    skip_corrupt: SkipCorrupt = False,
    expect_count: Annotated[
        int | None, typer.Option("--expect-count", help="Refuse another number of originals.")
    ] = None,
    expect_digest: ExpectDigest = None,
    replace: Replace = False,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Prepare any image set under a name, for data: imported."""
    from tausweep.orchestrator.datasets import named_sets

    named_sets.require_name(name)
    source = named_sets.open_source(
        place, split=split, image=image_column, label=label_column, class_folders=class_folders
    )
    expected = named_sets.Expected(count=expect_count, digest=expect_digest)
    way = {"skip_corrupt": skip_corrupt, "replace": replace, "as_json": as_json}
    _prepare(source, name, size, color, expected, store, **way)


@data_app.command("list")
def list_sets(as_json: AsJson = False, store: Store = DEFAULT_STORE) -> None:
    """List the image sets that are prepared under a name."""
    from tausweep.orchestrator.datasets import named_sets
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console

    sets = named_sets.all_sets(access.open_store(store))
    if as_json:
        console.print_json([asdict(one) for one in sets])
        return
    rows = [
        [s.name, s.size, s.color, s.count, len(s.classes) or None, len(s.skipped), s.fingerprint, s.digest]
        for s in sets
    ]
    console.print_table(
        ["name", "size", "color", "images", "classes", "skipped", "fingerprint", "digest"], rows
    )


@data_app.command("fid-weights")
def fid_weights(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="Weights in torch-fidelity's format.")
    ],
    digest: Annotated[
        str | None,
        typer.Option(help="Accept weights whose sha256 begins with this, instead of torch-fidelity's."),
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Copy the Inception weights that FID needs into a store.

    Compute nodes then need no network.
    """
    from tausweep.orchestrator.datasets.inception_weights import KNOWN_DIGEST, stage_weights
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    access.require_writable(layout)
    weights = stage_weights(source, layout, digest or KNOWN_DIGEST)
    console.console.print(
        f"{layout.root}: new sweeps measure fid with the Inception weights {weights}",
        soft_wrap=True,
    )


def _prepare(
    source: Source,
    name: str,
    size: int,
    color: Color,
    expected: Expected,
    store: Path,
    *,
    skip_corrupt: bool,
    replace: bool,
    as_json: bool,
) -> None:
    from tausweep.orchestrator.datasets import named_sets
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console
    from tausweep.orchestrator.terminal import progress as terminal_progress

    layout = access.open_store(store)
    access.require_writable(layout)
    try:
        with terminal_progress.counting("checking images", quiet=as_json) as progress:
            digest = named_sets.check_source(source, expected, skip_corrupt=skip_corrupt, progress=progress)
        with terminal_progress.counting("preparing images", quiet=as_json) as progress:
            prepared = named_sets.prepare_set(
                source, digest, name, size, color, layout,
                skip_corrupt=skip_corrupt, replace=replace, progress=progress,
            )  # fmt: skip
    except UnreadableImageError as error:
        raise DataError(f"{error}; repair it, or leave it out with --skip-corrupt") from error
    array = layout.images(prepared.fingerprint)
    if as_json:
        console.print_json({**asdict(prepared), "array": str(array)})
        return
    words = f", {len(prepared.classes)} classes" if prepared.classes else ""
    console.console.print(
        f"{name} {size}×{size} {color}: {prepared.count:,} images{words}, {len(prepared.skipped)} left out as unreadable\n"
        f"digest of the originals: {prepared.digest}\narray: {array}",
        soft_wrap=True,
    )
    for reason in prepared.skipped:
        console.console.print(f"left out: {reason}", soft_wrap=True)
