"""Files that must be on this machine although the store is on an object store: memory maps, and logs that grow.

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
    # One folder a store: two stores may have a file of one name.
    store = hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    return user_cache_path("tausweep") / store / path.name


def local_copy(path: Path) -> Path:
    """A file of the store that never changes, as a file of this machine.

    Fetched once, kept in the user's cache.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not is_object(path):
        return path
    copy = _cache(path)
    if not copy.exists():
        publish_path(copy, lambda target: filesystem(path).get_file(key(path), str(target)))
    return copy


def local_log(path: Path) -> Path:
    """Where a log of the store grows on this machine."""
    log = _cache(path) if is_object(path) else path
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


@contextmanager
def growing_log(path: Path) -> Iterator[Path]:
    """A file to append to, which is in the store when the context ends; on an object store only then."""
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
