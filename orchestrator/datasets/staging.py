"""Images before a sweep starts: their fingerprint, whether there are enough, and the prepared array in the store.

A data set is prepared once a store, on the machine that submits, so that compute nodes need neither the original
folder nor a network. Sets that have a name were prepared beforehand (see `orchestrator.datasets.named_sets`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tausweep.jobs.data.digits import digits, digits_labels
from tausweep.jobs.data.images import training_places
from tausweep.jobs.spec.data import Celeba, Digits, Folder, Images, Imported
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.fingerprints import fingerprint_digits, fingerprint_folder, listing_key
from tausweep.orchestrator.datasets.folder import list_images, prepare_folder
from tausweep.orchestrator.datasets.inception_weights import with_weights
from tausweep.orchestrator.datasets.named_sets import NamedSet, find_set
from tausweep.storage.errors import DataError, SettingError
from tausweep.storage.files.atomic import publish, publish_path
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout
from tausweep.workers.inputs import open_labels

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images as a sweep file names them.

    Attributes:
        fingerprint: content hash, part of the run's identity.
        count: how many images there are.
        labels: class of each, (count,) int64; None where there are no classes.
        folder, files, data: where they come from, for preparing.
    """

    fingerprint: str
    count: int
    data: Images
    labels: np.ndarray | None = None
    folder: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def key(self) -> str | None:
        """Key under which the store remembers the fingerprint of a folder, None for shipped images."""
        if self.folder is None or not isinstance(self.data, Folder):
            return None
        return listing_key(self.folder, self.files, self.data.size, self.data.color)


def identify(
    specs: list[RunSpec], folder: Path | None, layout: StoreLayout
) -> tuple[list[RunSpec], list[ImageSet]]:
    """Fill in the fingerprints of the images that runs train on, and digests of Inception weights; writes nothing.

    Args:
        specs: runs whose fingerprint is not known yet.
        folder: the sweep's folder of images, for runs with data = folder.
        layout: the store, which may remember the fingerprint of a folder it has seen.

    Returns:
        The runs with their fingerprints, and the distinct image sets.

    Raises:
        DataError: no images, or too few for a run.
        SettingError: the set has other classes than the sweep says.
    """
    sets: dict[tuple[Any, ...], ImageSet] = {}
    filled = []
    for spec in specs:
        data = spec.data
        if not isinstance(data, Images):  # drawn from seeds
            filled.append(spec)
            continue
        kind = (data.data, *(getattr(data, name, None) for name in ("set", "size", "color", "label_classes")))
        if kind not in sets:
            sets[kind] = _image_set(data, folder, layout)
        images = sets[kind]
        training_places(images.count, data, images.labels)
        known = data.model_copy(update={"fingerprint": images.fingerprint})
        filled.append(spec.model_copy(update={"data": known}))
    return with_weights(filled, layout), list(sets.values())


def _image_set(data: Images, folder: Path | None, layout: StoreLayout) -> ImageSet:
    if isinstance(data, Digits):
        labels = digits_labels()
        return ImageSet(fingerprint=fingerprint_digits(), count=len(labels), data=data, labels=labels)
    if isinstance(data, Celeba | Imported):
        found = find_set(layout, data.set, data.size, data.color)
        if isinstance(data, Imported):
            _require_classes(data, found)
        known = data.model_copy(update={"fingerprint": found.fingerprint})
        return ImageSet(
            fingerprint=found.fingerprint, count=found.count, data=data, labels=open_labels(layout, known)
        )
    assert folder is not None  # the sweep file was checked for it
    assert isinstance(data, Folder)
    if not folder.is_dir():
        raise DataError(
            f"folder = {folder}: no such folder; give `folder: PATH` in the sweep file, or folder=PATH on the "
            "command line"
        )
    files = tuple(list_images(folder))
    index = layout.images_index(listing_key(folder, files, data.size, data.color))
    remembered = read_record(index, "fingerprint")["fingerprint"] if index.exists() else None
    fingerprint = remembered or fingerprint_folder(folder, files, data.size, data.color)
    return ImageSet(fingerprint=fingerprint, count=len(files), data=data, folder=folder, files=files)


def _require_classes(data: Imported, found: NamedSet) -> None:
    if data.label_classes not in (None, len(found.classes)):
        has = f"{len(found.classes)}: {', '.join(found.classes)}" if found.classes else "no labels"
        raise SettingError("label_classes", data.label_classes, f"set = {data.set} has {has}")


def stage(images: ImageSet, layout: StoreLayout, progress: Progress | None = None) -> None:
    """Prepare an image set in the store, once; safe when two processes do it at the same time.

    Raises:
        DataError: an image can't be read; names the file, and nothing is left behind.
    """
    target = layout.images(images.fingerprint)
    if not target.exists():
        if isinstance(images.data, Digits):
            publish(target, lambda file: np.save(file, digits()))
        elif isinstance(images.data, Folder):
            size, color = images.data.size, images.data.color
            publish_path(
                target, lambda path: prepare_folder(images.files, size, color, path, progress=progress)
            )
    if images.key is not None and not layout.images_index(images.key).exists():
        write_record(
            layout.images_index(images.key), {"fingerprint": images.fingerprint, "count": images.count}
        )
