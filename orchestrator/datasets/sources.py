"""Sources of images: folders, ZIP files, Arrow or Parquet files, each as a list of items.

Called when an image set is prepared. Reads one image at a time; knows nothing about stores.
"""

from __future__ import annotations

import hashlib
import lzma
import os.path
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from tausweep.storage.errors import DataError, UnreadableImageError

SUFFIXES = (".jpeg", ".jpg", ".png")

Class = str | int


class Item(Protocol):
    """One image of a source."""

    @property
    def name(self) -> str:
        """Its path relative to the source."""

    @property
    def label(self) -> Class | None:
        """Its class as written in the source; None if it has none."""

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            UnreadableImageError: it cannot be read; the message names it.
        """


class Source(Protocol):
    """Images in a fixed order; either all have a class or none does."""

    @property
    def place(self) -> Path:
        """The path it was opened from."""

    @property
    def form(self) -> str:
        """Its form: folder, zip, arrow or parquet."""

    @property
    def class_names(self) -> Sequence[str] | None:
        """Names of the labels 0, 1, …, if the source has names."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Item]: ...


def natural(name: PurePath) -> tuple[list[str | int], str]:
    """Sort key by which numbers compare as numbers: `img2` before `img10`."""
    # Splitting on digits alternates text and numbers, so types match; `1` and `01` are compared by name.
    text = name.as_posix()
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", text)], text


def is_image(name: PurePath) -> bool:
    """Whether a name is that of a PNG or JPEG file that is neither hidden nor in a hidden folder."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden


@dataclass(frozen=True)
class _File:
    name: str
    label: Class | None
    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"{self.path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class _Member:
    name: str
    label: Class | None
    file: zipfile.ZipFile
    member: str

    def read(self) -> bytes:
        try:
            return self.file.read(self.member)
        # A wrong checksum, damaged compressed data, a password, or a method that Python lacks.
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
            raise UnreadableImageError(
                f"{self.file.filename}: {self.member}: cannot be unpacked ({error})"
            ) from error


@dataclass(frozen=True)
class _Files:
    """Image files of a folder or ZIP file: their full names, and labels for all or none."""

    place: Path
    form: str
    names: Sequence[PurePosixPath]
    labels: Sequence[Class | None]
    class_names: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Item]:
        rows = list(zip(self.names, _short(self.names), self.labels, strict=True))
        if self.form == "folder":
            yield from (_File(short, label, self.place / name) for name, short, label in rows)
            return
        with zipfile.ZipFile(self.place) as file:
            yield from (_Member(short, label, file, str(name)) for name, short, label in rows)


def open_files(place: Path, *, class_folders: bool = False) -> Source:
    """The PNG and JPEG files of a folder or of a ZIP file, in natural order.

    A ZIP file is not unpacked to disk.

    Args:
        place: path of the folder or file.
        class_folders: whether the folder of an image, below the common one, is its class.

    Raises:
        DataError: it is neither, contains no image, or an image lies in no class folder.
    """
    if place.is_dir():
        form = "folder"
        names = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
    else:
        form = "zip"
        try:
            with zipfile.ZipFile(place) as file:
                names = [info.filename for info in file.infolist() if not info.is_dir()]
        except FileNotFoundError as error:
            raise DataError(f"{place}: no such file or folder") from error
        except zipfile.BadZipFile as error:
            raise DataError(f"{place}: neither a folder nor a complete ZIP file ({error})") from error
    images = sorted(filter(is_image, map(PurePosixPath, names)), key=natural)
    if not images:
        raise DataError(f"{place}: no image in it; looked for {', '.join(SUFFIXES)}, including subfolders")
    return _Files(place, form, images, _labels(place, images, class_folders=class_folders))


def _short(names: Sequence[PurePosixPath]) -> list[str]:
    """Names without their common folders, so a ZIP file equals the folder it was made from."""
    common = len(PurePosixPath(os.path.commonpath([name.parent for name in names])).parts)
    return ["/".join(name.parts[common:]) for name in names]


def _labels(place: Path, names: Sequence[PurePosixPath], *, class_folders: bool) -> Sequence[Class | None]:
    if not class_folders:
        return [None] * len(names)
    parts = [name.split("/") for name in _short(names)]
    for part in parts:
        if len(part) < 2:
            raise DataError(
                f"{place}: {part[0]} lies in no class folder; give each class a folder, or leave out --class-folders"
            )
    return [part[0] for part in parts]


def content_digest(
    source: Source, *, skip_unreadable: bool = False, progress: Callable[[int, int], None] | None = None
) -> str:
    """sha256 in hex over the names, contents and labels of a source's images, in order.

    Names are relative to the common folder, so a folder and a ZIP file of it have the same digest.

    Args:
        source: the images.
        skip_unreadable: go on where an image cannot be read, which changes the digest.
        progress: called with (images done, images in all) after each.

    Raises:
        UnreadableImageError: an image cannot be read and must not be skipped.
    """
    digest = hashlib.sha256()
    for done, item in enumerate(source, start=1):
        try:
            content = hashlib.sha256(item.read()).digest()
        except UnreadableImageError:
            if not skip_unreadable:
                raise
            content = b"unreadable"
        for part in (item.name.encode(), repr(item.label).encode(), content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        if progress:
            progress(done, len(source))
    return digest.hexdigest()
