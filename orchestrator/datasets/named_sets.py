"""Named image sets, prepared once in the store, from files that compute nodes need not see.

Called by `tausweep data`, and by the plan, which looks a set up by its name. A set is an array, its labels if
it has classes, and a record. The record is published last: a set without a record does not exist.
"""

from __future__ import annotations

import platform
import re
import shlex
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tausweep.jobs.data.split import Color
from tausweep.jobs.spec.data import SET_NAME
from tausweep.orchestrator.datasets.fingerprints import fingerprint_source
from tausweep.orchestrator.datasets.pixels import Prepared, Progress, prepare_images
from tausweep.orchestrator.datasets.sources import Source, content_digest, open_files
from tausweep.orchestrator.datasets.tables import open_table, table_files
from tausweep.storage.errors import DataError, InputError, NotPreparedError, UnreadableImageError
from tausweep.storage.files.atomic import publish, publish_path
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout

CELEBA = "celeba"


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """The record of a prepared image set.

    Attributes:
        name, size, color: the key by which a sweep file finds it.
        fingerprint: name of the array in the store, and part of the id of runs.
        digest: sha256 over names, contents and labels of the originals, in order.
        count: images in the array.
        skipped: originals that could not be read and were left out, with the reason.
        classes: names of the classes 0, 1, …; empty if there are none.
        form: the form of the originals: folder, zip, arrow or parquet.
        versions: versions of the packages that decoded the images.
    """

    name: str
    size: int
    color: str
    fingerprint: str
    digest: str
    count: int
    form: str
    skipped: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the user expects of a source; None for no expectation."""

    count: int | None = None
    digest: str | None = None


def open_source(
    place: Path,
    *,
    split: str | None = None,
    image: str | None = None,
    label: str | None = None,
    class_folders: bool = False,
) -> Source:
    """Open the images at a path: a folder, a ZIP file, Parquet, or a folder saved by `datasets`.

    Raises:
        DataError, InputError: there are no images, or an option does not apply.
    """
    table = table_files(place, split)
    if table and class_folders:
        raise InputError(f"--class-folders: {place} is a table; give --label-column")
    if table:
        return open_table(place, table, image, label)
    for option, value in (("--split", split), ("--image-column", image), ("--label-column", label)):
        if value is not None:
            raise InputError(f"{option} {value}: only with Parquet or Arrow files, and {place} has none")
    return open_files(place, class_folders=class_folders)


def find_set(layout: StoreLayout, name: str, size: int, color: str) -> NamedSet:
    """Look up a prepared set.

    Raises:
        NotPreparedError: it is not in the store; says by which command it gets there.
    """
    path = layout.image_set(name, size, color)
    named = _read(path) if path.exists() else None
    if named is not None and layout.images(named.fingerprint).exists():
        return named
    kind, what = ("celeba", CELEBA) if name == CELEBA else (f"imported, set = {name}", f"import {name}")
    raise NotPreparedError(
        f"data = {kind}, size = {size}, color = {color}: not prepared in the store {layout.root}; prepare it with: "
        f"tausweep data {what} --from PATH --size {size} --color {color} --store {shlex.quote(str(layout.root))}"
    )


def require_name(name: str) -> None:
    """Check the name of a set to import.

    Raises:
        InputError: it is not valid, or belongs to another command.
    """
    if not re.fullmatch(SET_NAME, name):
        raise InputError(
            f"{name}: a name has at most 100 letters, digits, '.', '_' and '-', and begins with a letter or digit"
        )
    if name == CELEBA:
        raise InputError(f"{name}: use `tausweep data celeba`, which checks the number of images")


def check_source(
    source: Source, expected: Expected, *, skip_corrupt: bool = False, progress: Progress | None = None
) -> str:
    """Read all originals and compare them with what is expected.

    Returns:
        Their digest.

    Raises:
        DataError: they differ, or one cannot be read.
    """
    if expected.count is not None and len(source) != expected.count:
        raise DataError(
            f"{source.place}: {len(source):,} images, but {expected.count:,} were expected; the copy is incomplete, or give "
            f"--expect-count {len(source)}"
        )
    digest = content_digest(source, skip_unreadable=skip_corrupt, progress=progress)
    if expected.digest is not None and digest != expected.digest:
        raise DataError(
            f"{source.place}: digest {digest}, but {expected.digest} was expected; these are other images"
        )
    return digest


def prepare_set(
    source: Source,
    digest: str,
    name: str,
    size: int,
    color: Color,
    layout: StoreLayout,
    *,
    skip_corrupt: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> NamedSet:
    """Prepare an image set in the store unless it exists. Two processes may do so at the same time.

    Args:
        source: the originals.
        digest: see `check_source`.
        name: its name in sweep files, together with size and color.
        size: height and width in pixels.
        color: grey or rgb.
        layout: the store.
        skip_corrupt: leave out images that cannot be read.
        replace: give the name to these images if it belongs to others.
        progress: called with (images done, images in all).

    Raises:
        DataError: an image cannot be read, or the name belongs to another set; nothing has been written.
    """
    fingerprint = fingerprint_source(digest, size, color)
    path = layout.image_set(name, size, color)
    there = _read(path) if path.exists() else None
    if there is not None and there.fingerprint != fingerprint and not replace:
        raise DataError(
            f"{name}, size = {size}, color = {color} in the store {layout.root} has digest {there.digest}, but {source.place} "
            f"has {digest}; give another name, or --replace (runs keep the images that they were trained on)"
        )
    if there is not None and there.fingerprint == fingerprint and layout.images(fingerprint).exists():
        if there.skipped and not skip_corrupt:
            raise UnreadableImageError(there.skipped[0])
        return there
    prepared = _publish(
        source, fingerprint, size, color, layout, skip_corrupt=skip_corrupt, progress=progress
    )
    named = NamedSet(
        name=name,
        size=size,
        color=color,
        fingerprint=fingerprint,
        digest=digest,
        count=prepared.count,
        form=source.form,
        skipped=prepared.skipped,
        classes=prepared.class_names,
        versions={"python": platform.python_version()} | {p: version(p) for p in ("pillow", "numpy")},
    )
    write_record(path, asdict(named))
    return named


def _publish(
    source: Source,
    fingerprint: str,
    size: int,
    color: Color,
    layout: StoreLayout,
    *,
    skip_corrupt: bool,
    progress: Progress | None,
) -> Prepared:
    results: list[Prepared] = []

    def write(path: Path) -> None:
        results.append(
            prepare_images(source, size, color, path, skip_unreadable=skip_corrupt, progress=progress)
        )

    publish_path(layout.images(fingerprint), write)
    labels = results[0].labels
    if labels is not None:
        publish(layout.labels(fingerprint), lambda file: np.save(file, labels))
    return results[0]


def all_sets(layout: StoreLayout) -> list[NamedSet]:
    """The sets of a store that have a name, sorted by it."""
    return [_read(path) for path in layout.image_sets()]


def _read(path: Path) -> NamedSet:
    content: dict[str, Any] = read_record(path, *NamedSet.__dataclass_fields__)
    return NamedSet(**{name: content[name] for name in NamedSet.__dataclass_fields__})
