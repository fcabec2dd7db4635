"""Stores under `s3://…`: the few things in which an object store differs from a file system.

Paths there are `upath.UPath`: they have the methods of `pathlib.Path` and are passed about under its name. An
object appears whole or not at all, and is made only if absent by a conditional put, so that neither temporary
names nor links are needed; folders do not exist. The packages that speak S3 are loaded when a store is opened
there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from tausweep.storage.errors import InputError

_SCHEME = "s3://"
_REQUESTS = 32  # in flight at once where many runs are asked about; each costs a round trip
_SYNCS = 16  # at once; a thousand new records take 0.6 s so, 9 s one by one (ext4)
T = TypeVar("T")
U = TypeVar("U")


def location(text: str | Path) -> Path:
    """The place that a user names: a folder, or `s3://bucket/prefix`.

    Credentials, region and end point of the object store come from the environment (`AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, …) or the user's AWS configuration.

    Raises:
        InputError: another scheme, no bucket, or the packages for S3 are not installed.
    """
    name = str(text)
    if "://" not in name:
        return Path(name)
    if not name.startswith(_SCHEME) or not name.removeprefix(_SCHEME).strip("/"):
        raise InputError(f"{name}: a store is a folder or {_SCHEME}BUCKET/PREFIX")
    try:
        import s3fs  # noqa: F401 - the package that UPath needs for this scheme
        from upath import UPath
    except ImportError as error:
        raise InputError(
            f"{name}: needs packages that are not installed: pip install 'tausweep[s3]'"
        ) from error
    # Listings are asked for anew each time: another process may have written meanwhile.
    return cast(Path, UPath(name.rstrip("/"), use_listings_cache=False))


def is_object(path: Path) -> bool:
    """Whether a path is on an object store."""
    return not isinstance(path, Path)


def filesystem(path: Path) -> Any:
    """The fsspec file system of a path on an object store."""
    return cast(Any, path).fs


def key(path: Path) -> str:
    """A path as its own file system names it: `bucket/prefix/name` on an object store."""
    return str(cast(Any, path).path) if is_object(path) else str(path)


def put(path: Path, content: bytes) -> None:
    """Write an object; it replaces what was there at one moment."""
    filesystem(path).pipe_file(key(path), content)


def put_new(path: Path, content: bytes) -> bool:
    """Write an object if there is none of this name: of many racing callers exactly one succeeds.

    Returns:
        True if this call made the object, False if it was there already (and is untouched).
    """
    try:
        filesystem(path).pipe_file(key(path), content, mode="create")
    except FileExistsError:
        # The answer to a put that was done can be lost and the request repeated: then what is there is ours.
        return read(path) == content
    return True


def read(path: Path) -> bytes:
    """The content of a file or object as it was at one moment, also while it is replaced.

    Raises:
        FileNotFoundError: it is not there.
    """
    # One request: an object that is opened is read in several, and an error if it is replaced between them.
    return cast(bytes, filesystem(path).cat_file(key(path))) if is_object(path) else path.read_bytes()


def require_reachable(path: Path) -> None:
    """Check that the bucket of a path is there and may be listed.

    Raises:
        InputError: says what the object store answered.
    """
    bucket = key(path).split("/", 1)[0]
    try:
        filesystem(path).ls(bucket)
    except FileNotFoundError as error:
        raise InputError(f"--store {path}: there is no bucket {bucket!r}") from error
    except io_errors() as error:
        raise InputError(f"--store {path}: the object store can't be used ({error})") from error


def io_errors() -> tuple[type[Exception], ...]:
    """What reading and writing raise while a disk or an object store is out of reach."""
    exceptions = sys.modules.get("botocore.exceptions")  # there if a store was opened on an object store
    return (OSError,) if exceptions is None else (OSError, exceptions.BotoCoreError)


def each(path: Path, function: Callable[[T], U], items: Iterable[T], *, writes: bool = False) -> Iterator[U]:
    """Like `map`, in order, but many calls wait at once: for the answers of the path's object store, or for a disk.

    Args:
        path: where the calls read or write.
        function: called from several threads.
        items: its arguments.
        writes: each call syncs files; a file system confirms many of them together.
    """
    threads = _REQUESTS if is_object(path) else _SYNCS if writes else 1
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)


def for_each(
    path: Path, function: Callable[[T], object], items: Iterable[T], *, writes: bool = False
) -> None:
    """Like `each`, for calls that are made for their effect; arguments as there."""
    for _ in each(path, function, items, writes=writes):
        pass
