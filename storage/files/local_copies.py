"""Files that must be local even if the store is on an object store: memory maps, and growing logs.

Called by workers and by the figures. In a store on a file system everything stays where it is.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from tausweep.storage.files.atomic import publish, publish_path
from tausweep.storage.files.object_store import filesystem, is_object, key


def _cache(path: Path) -> Path:
    # One folder per store: two stores may have files of the same name.
    store = hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    return user_cache_path("tausweep") / store / path.name


def local_copy(path: Path) -> Path:
    """A local copy of a file that never changes; fetched once and kept in the user's cache.

    Raises:
        FileNotFoundError: the store has no such file.
    """
    if not is_object(path):
        return path
    copy = _cache(path)
    if not copy.exists():
        publish_path(copy, lambda target: filesystem(path).get_file(key(path), str(target)))
    return copy


def local_log(path: Path) -> Path:
    """The local path at which a log of the store grows."""
    log = _cache(path) if is_object(path) else path
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


@contextmanager
def growing_log(path: Path) -> Iterator[Path]:
    """A file to append to. It is in the store when the context ends, on an object store only then."""
    if not is_object(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tausweep-") as folder:
        log = Path(folder) / path.name
        try:
            yield log
        finally:
            if log.exists():
                with log.open("rb") as file:
                    publish(path, lambda target: shutil.copyfileobj(file, target))
