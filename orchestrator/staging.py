"""Images before a sweep starts: their fingerprint, whether there are enough, and the prepared array in the store.

A data set is prepared once a store, on the machine that submits, so that compute nodes need neither the original
folder nor a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data_kinds import Digits, Folder, Images
from jobs.images import (
    digits,
    fingerprint_digits,
    fingerprint_folder,
    list_images,
    listing_key,
    prepare_folder,
    require_enough,
)
from jobs.spec import RunSpec
from orchestrator.fid_weights import with_weights
from storage.atomic import publish, publish_path, read_record, write_record
from storage.errors import DataError
from storage.layout import StoreLayout

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images as a sweep file names them.

    Attributes:
        fingerprint: content hash, part of the run's identity.
        count: how many images there are.
        folder, files, data: where they come from, for preparing.
    """

    fingerprint: str
    count: int
    data: Digits | Folder
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
    """
    sets: dict[tuple[Any, ...], ImageSet] = {}
    filled = []
    for spec in specs:
        data = spec.data
        if not isinstance(data, Images):  # drawn from seeds
            filled.append(spec)
            continue
        kind = ("digits",) if isinstance(data, Digits) else ("folder", data.size, data.color)
        if kind not in sets:
            sets[kind] = _image_set(data, folder, layout)
        images = sets[kind]
        require_enough(images.count, data)
        known = data.model_copy(update={"fingerprint": images.fingerprint})
        filled.append(spec.model_copy(update={"data": known}))
    return with_weights(filled, layout), list(sets.values())


def _image_set(data: Digits | Folder, folder: Path | None, layout: StoreLayout) -> ImageSet:
    if isinstance(data, Digits):
        return ImageSet(fingerprint=fingerprint_digits(), count=len(digits()), data=data)
    assert folder is not None  # the sweep file was checked for it
    if not folder.is_dir():
        raise DataError(
            f"folder = {folder}: no such folder; give `folder: PATH` in the sweep file, or folder=PATH on the "
            "command line"
        )
    files = tuple(list_images(folder))
    index = layout.images_index(listing_key(folder, files, data.size, data.color))
    known = read_record(index, "fingerprint")["fingerprint"] if index.exists() else None
    fingerprint = known or fingerprint_folder(folder, files, data.size, data.color)
    return ImageSet(fingerprint=fingerprint, count=len(files), data=data, folder=folder, files=files)


def stage(images: ImageSet, layout: StoreLayout, progress: Progress | None = None) -> None:
    """Prepare an image set in the store, once; safe when two processes do it at the same time.

    Raises:
        DataError: an image can't be read; names the file, and nothing is left behind.
    """
    target = layout.images(images.fingerprint)
    if not target.exists():
        if isinstance(images.data, Digits):
            publish(target, lambda file: np.save(file, digits()))
        else:
            size, color = images.data.size, images.data.color
            publish_path(
                target, lambda path: prepare_folder(images.files, size, color, path, progress=progress)
            )
    if images.key is not None and not layout.images_index(images.key).exists():
        write_record(
            layout.images_index(images.key), {"fingerprint": images.fingerprint, "count": images.count}
        )
