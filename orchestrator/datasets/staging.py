"""Images before a sweep starts: their fingerprint, their number, and the prepared array in the store.

A data set is prepared once per store, on the submitting machine, so compute nodes need neither the original
folder nor a network. Named sets were prepared beforehand (see `orchestrator.datasets.named_sets`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tausweep.jobs.data.digits import digits, digits_labels
from tausweep.jobs.data.images import training_places
from tausweep.jobs.spec.data import Celeba, Folder, Images, Imported
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.fingerprints import fingerprint_digits, fingerprint_folder, listing_key
from tausweep.orchestrator.datasets.folder import list_images, prepare_folder
from tausweep.orchestrator.datasets.inception_weights import missing_packages, with_weights
from tausweep.orchestrator.datasets.named_sets import NamedSet, find_set
from tausweep.orchestrator.datasets.pixels import Progress
from tausweep.storage.errors import DataError, InputError, NotPreparedError, SettingError
from tausweep.storage.files.atomic import publish_path
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout
from tausweep.workers.inputs import open_labels


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images that a sweep file names.

    Attributes:
        fingerprint: content hash, part of the run's identity.
        count: number of images.
        labels: class of each, (count,) int64; None without classes.
        prepare: writes the array into a file and reports progress; None for sets that were prepared
            beforehand.
        key: key under which the store caches the fingerprint of a folder; None for other images.
    """

    fingerprint: str
    count: int
    labels: np.ndarray | None = None
    prepare: Callable[[Path, Progress | None], None] | None = None
    key: str | None = None


def identify(
    specs: list[RunSpec], folder: Path | None, layout: StoreLayout, lacking: list[str] | None = None
) -> tuple[list[RunSpec], list[ImageSet]]:
    """Fill in the fingerprints of the training images, and digests of Inception weights.

    Writes nothing.

    Args:
        specs: runs whose fingerprint is not known yet.
        folder: the sweep's folder of images, for runs with data = folder.
        layout: the store, which may have cached the fingerprint of a folder.
        lacking: collects what the store or this machine lacks, each with the command that brings it; runs on images
            that are not prepared stay drafts then. None: the first of it is an error.

    Returns:
        The runs with their fingerprints, and the distinct image sets.

    Raises:
        DataError: there are no images, or too few for a run.
        InputError: a package is not installed.
        SettingError: the classes of the set differ from those in the sweep file.
    """
    sets: dict[tuple[Any, ...], ImageSet | None] = {}
    filled = []
    for spec in specs:
        data = spec.data
        if not isinstance(data, Images):  # drawn from seeds
            filled.append(spec)
            continue
        kind = (data.data, *(getattr(data, name, None) for name in ("set", "size", "color", "label_classes")))
        if kind not in sets:
            try:
                sets[kind] = ORIGINALS[data.data](data, folder, layout)
            except NotPreparedError as error:
                if lacking is None:
                    raise
                sets[kind] = None
                lacking.append(str(error))
        images = sets[kind]
        if images is None:
            filled.append(spec)
            continue
        training_places(images.count, data, images.labels)
        known = data.model_copy(update={"fingerprint": images.fingerprint})
        filled.append(spec.model_copy(update={"data": known}))
    if (packages := missing_packages(specs)) is not None:
        if lacking is None:
            raise InputError(packages)
        lacking.append(packages)
    return with_weights(filled, layout), [images for images in sets.values() if images is not None]


def _digits(data: Images, folder: Path | None, layout: StoreLayout) -> ImageSet:  # noqa: ARG001 - as all originals
    def prepare(path: Path, progress: Progress | None) -> None:  # noqa: ARG001 - it takes no time
        with path.open("wb") as file:
            np.save(file, digits())

    labels = digits_labels()
    return ImageSet(fingerprint=fingerprint_digits(), count=len(labels), labels=labels, prepare=prepare)


def _folder(data: Images, folder: Path | None, layout: StoreLayout) -> ImageSet:
    assert isinstance(data, Folder)
    assert folder is not None  # the sweep file was checked for it
    if not folder.is_dir():
        raise DataError(
            f"folder = {folder}: no such folder; give `folder: PATH` in the sweep file, or folder=PATH on the "
            "command line"
        )
    size, color, files = data.size, data.color, tuple(list_images(folder))
    key = listing_key(folder, files, size, color)
    index = layout.images_index(key)
    remembered = read_record(index, "fingerprint")["fingerprint"] if index.exists() else None

    def prepare(path: Path, progress: Progress | None) -> None:
        prepare_folder(files, size, color, path, progress=progress)

    fingerprint = remembered or fingerprint_folder(folder, files, size, color)
    return ImageSet(fingerprint=fingerprint, count=len(files), prepare=prepare, key=key)


def _named(data: Images, folder: Path | None, layout: StoreLayout) -> ImageSet:  # noqa: ARG001 - as all originals
    assert isinstance(data, Celeba | Imported)
    named = find_set(layout, data.set, data.size, data.color)
    if isinstance(data, Imported):
        _require_classes(data, named)
    known = data.model_copy(update={"fingerprint": named.fingerprint})
    return ImageSet(fingerprint=named.fingerprint, count=named.count, labels=open_labels(layout, known))


ORIGINALS: dict[str, Callable[[Images, Path | None, StoreLayout], ImageSet]] = {
    "digits": _digits,
    "folder": _folder,
    "celeba": _named,
    "imported": _named,
}
"""What looks at the original images of a kind of `Images`; a kind that is added has its line here too."""


def _require_classes(data: Imported, named: NamedSet) -> None:
    if data.label_classes not in (None, len(named.classes)):
        has = f"{len(named.classes)}: {', '.join(named.classes)}" if named.classes else "no labels"
        raise SettingError("label_classes", data.label_classes, f"set = {data.set} has {has}")


def stage(images: ImageSet, layout: StoreLayout, progress: Progress | None = None) -> None:
    """Prepare an image set in the store, once. Two processes may do so at the same time.

    Raises:
        DataError: an image cannot be read; the message names it, and nothing is left behind.
    """
    target, prepare = layout.images(images.fingerprint), images.prepare
    if prepare is not None and not target.exists():
        publish_path(target, lambda path: prepare(path, progress))
    if images.key is not None and not layout.images_index(images.key).exists():
        write_record(
            layout.images_index(images.key), {"fingerprint": images.fingerprint, "count": images.count}
        )
