"""Opens the store that the user names."""

from __future__ import annotations

import os
from pathlib import Path

from tausweep.storage.errors import InputError
from tausweep.storage.files.object_store import is_object, require_reachable
from tausweep.storage.layout import StoreLayout


def open_store(place: Path) -> StoreLayout:
    """The store at a path, which may not exist yet.

    Raises:
        InputError: the path is on an object store that cannot be reached.
    """
    if is_object(place):
        require_reachable(place)
    return StoreLayout(place)


def require_store(layout: StoreLayout) -> None:
    """Check that a store exists.

    Raises:
        InputError: the folder has no sweep.
    """
    if not layout.sweeps.is_dir():
        raise InputError(f"--store {layout.root}: this store has no sweep; is the path right?")


def require_writable(layout: StoreLayout) -> None:
    """Check that a store exists or can be created; creates nothing.

    Raises:
        InputError: it is a file, or the user may not write there.
    """
    if is_object(layout.root):
        return
    there = next(path for path in (layout.root, *layout.root.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--store {layout.root}: this user can't write into {there}")
