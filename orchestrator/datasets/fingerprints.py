"""Fingerprints of image sets, which represent the images in a run's id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.split import Color

PREPARATION_VERSION = 1
"""Enters every fingerprint; raised when preparation begins to give other pixels."""


_HEX_DIGITS = 20


def fingerprint_digits() -> str:
    """Content hash of the digits."""
    return _hash([b"digits", digits().tobytes()])


def fingerprint_folder(folder: Path, files: Sequence[Path], size: int, color: Color) -> str:
    """Content hash of a prepared folder: names within it, contents, size and color.

    Its location does not matter.
    """

    def parts() -> Iterator[bytes]:
        yield from (b"folder", str(size).encode(), color.encode())
        for file in files:
            yield file.relative_to(folder).as_posix().encode()
            with file.open("rb") as content:
                yield hashlib.file_digest(content, "sha256").digest()

    return _hash(parts())


def fingerprint_source(digest: str, size: int, color: Color) -> str:
    """Content hash of a prepared image source, from the digest of its originals."""
    return _hash([b"source", str(size).encode(), color.encode(), digest.encode()])


def listing_key(folder: Path, files: Sequence[Path], size: int, color: Color) -> str:
    """Key for caching a fingerprint, from the folder's path, names, sizes and dates; reads no file."""

    def parts() -> Iterator[bytes]:
        # Include the folder: another one may have files with the same names, sizes and dates.
        yield from (b"listing", str(folder.resolve()).encode(), str(size).encode(), color.encode())
        for file in files:
            stat = file.stat()
            yield file.relative_to(folder).as_posix().encode()
            yield f"{stat.st_size} {stat.st_mtime_ns}".encode()

    return _hash(parts())


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256(f"preparation {PREPARATION_VERSION}".encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))  # so that the boundaries between parts are hashed too
        digest.update(part)
    return digest.hexdigest()[:_HEX_DIGITS]
