"""Stores under `s3://…`: the few ways in which an object store differs from a file system.

Paths there are `upath.UPath`, which have the methods of `pathlib.Path` and are annotated as such. An object
appears whole or not at all, and a conditional put makes it only if it is absent, so neither temporary names
nor links are needed. Folders do not exist. The S3 packages are loaded when such a store is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from tausweep.storage.errors import InputError

_SCHEME = "s3://"
_REQUESTS = 32  # requests in flight when many runs are read; each costs a round trip
_SYNCS = 16  # simultaneous writes; a thousand new records then take 0.6 s instead of 9 s one by one (ext4)
T = TypeVar("T")
U = TypeVar("U")


def location(text: str | Path) -> Path:
    """The path for a store that the user names: a folder, or `s3://bucket/prefix`.

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
    # Listings are never cached: another process may have written meanwhile.
    return cast(Path, UPath(name.rstrip("/"), use_listings_cache=False))


def is_object(path: Path) -> bool:
    """Whether a path is on an object store."""
    return not isinstance(path, Path)


def filesystem(path: Path) -> Any:
    """The fsspec file system of a path on an object store."""
    return cast(Any, path).fs


def key(path: Path) -> str:
    """A path as its file system names it: `bucket/prefix/name` on an object store."""
    return str(cast(Any, path).path) if is_object(path) else str(path)


def put(path: Path, content: bytes) -> None:
    """Write an object; it replaces an older one atomically."""
    filesystem(path).pipe_file(key(path), content)


def put_new(path: Path, content: bytes) -> bool:
    """Write an object if there is none of this name: of many racing callers exactly one succeeds.

    Returns:
        True if this call made the object, False if it existed already (and is untouched).
    """
    try:
        filesystem(path).pipe_file(key(path), content, mode="create")
    except FileExistsError:
        # The reply to a successful put can be lost and the request repeated: then the existing object is
        # ours.
        return read(path) == content
    return True


def read(path: Path) -> bytes:
    """The content of a file or object at one moment, even while it is being replaced.

    Raises:
        FileNotFoundError: it is not there.
    """
    # One request: opening the object would read it in several, which fails if it is replaced in between.
    return cast(bytes, filesystem(path).cat_file(key(path))) if is_object(path) else path.read_bytes()


def require_reachable(path: Path) -> None:
    """Check that the bucket of a path exists and may be listed.

    Raises:
        InputError: with the answer of the object store.
    """
    bucket = key(path).split("/", 1)[0]
    try:
        filesystem(path).ls(bucket)
    except FileNotFoundError as error:
        raise InputError(f"--store {path}: bucket {bucket!r} does not exist") from error
    except io_errors() as error:
        raise InputError(f"--store {path}: the object store cannot be used ({error})") from error


def io_errors() -> tuple[type[Exception], ...]:
    """The errors that reading and writing raise while a disk or an object store is unreachable."""
    exceptions = sys.modules.get("botocore.exceptions")  # loaded if a store on an object store was opened
    return (OSError,) if exceptions is None else (OSError, exceptions.BotoCoreError)


def each(path: Path, function: Callable[[T], U], items: Iterable[T], *, writes: bool = False) -> Iterator[U]:
    """Like `map`, in order, but with many calls waiting at once for an object store or a disk.

    Args:
        path: where the calls read or write.
        function: called from several threads.
        items: its arguments.
        writes: whether each call syncs files; a file system syncs many of them together.
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
    """Like `each`, for calls made for their effect."""
    for _ in each(path, function, items, writes=writes):
        pass
