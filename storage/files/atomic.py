"""Publishing: a file is either absent or whole, even after a crash and on NFS.

Write `.name.tmp` beside the target, fsync it, rename it over the target, fsync the folder. Readers ignore
names that start with a dot. There are no locks and no appends: both fail on network file systems. On an
object store a put does all of this (see `storage.files.object_store`).
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tausweep.storage.files.failpoints import failpoint
from tausweep.storage.files.object_store import filesystem, is_object, key, put, put_new


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    make_folder(target.parent)
    path = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield path
    except OSError as error:
        if error.filename is None:  # a write notices a full disk but does not know the file's name
            error.filename = str(target)
        raise
    finally:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents durably: a synced file is lost if its folder is not synced."""
    if not is_object(folder) and not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make publications in a folder, and removals from it, durable."""
    if is_object(folder):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(write: Callable[[BinaryIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _write_synced(path: Path, target: Path, write: Callable[[BinaryIO], object]) -> None:
    failpoint("before_write", target)
    with path.open("wb") as file:
        write(file)
        file.flush()
        failpoint("before_fsync", target)
        os.fsync(file.fileno())
    failpoint("before_rename", target)


def _sync_renamed(target: Path) -> None:
    failpoint("after_rename", target)
    sync_folder(target.parent)


def publish(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that no reader ever sees a part of it; replaces what was there.

    Args:
        target: the final path; its folder is made if missing.
        write: receives a binary file open for writing.
    """
    if is_object(target):
        put(target, _content(write))
        return
    with _temporary(target) as temporary:
        _write_synced(temporary, target, write)
        temporary.replace(target)
    _sync_renamed(target)


def publish_bytes(target: Path, content: bytes) -> None:
    """Like `publish`, for content in memory."""
    publish(target, lambda file: file.write(content))


def publish_path(target: Path, write: Callable[[Path], object]) -> None:
    """Like `publish`, for writers that need a path instead of an open file (memory maps)."""
    if is_object(target):
        with tempfile.TemporaryDirectory(prefix="tausweep-") as folder:
            write(Path(folder) / target.name)
            filesystem(target).put_file(f"{folder}/{target.name}", key(target))
        return
    with _temporary(target) as temporary:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    sync_folder(target.parent)


def publish_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Like `publish` for a whole folder on this machine, which does not exist yet or is empty.

    Args:
        target: the final path; its parent folder is made if missing.
        write: receives an empty folder.
    """
    with _temporary(target.absolute()) as temporary:
        temporary.mkdir()
        try:
            write(temporary)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(target.absolute().parent)


def publish_new(target: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Like `publish`, but only if the target does not exist: of many racing callers exactly one succeeds.

    Uses a hard link, which is atomic on local disks and on NFS. O_EXCL historically was not atomic on NFS.

    Returns:
        True if this call made the file, False if it existed already (and is untouched).
    """
    if is_object(target):
        return put_new(target, _content(write))
    with _temporary(target) as temporary:
        _write_synced(temporary, target, write)
        try:
            os.link(temporary, target)
        except FileExistsError:
            # On NFS the reply to a successful link can be lost and the request repeated (link(2)).
            if temporary.stat().st_nlink != 2:
                return False
    _sync_renamed(target)
    return True
