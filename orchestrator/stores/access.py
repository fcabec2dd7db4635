"""Opens the store that the user names."""

from __future__ import annotations

import os
from pathlib import Path

from tausweep.storage.errors import InputError
from tausweep.storage.files.object_store import is_object, require_reachable
from tausweep.storage.layout import StoreLayout


def open_store(place: Path) -> StoreLayout:
    """The store at a place, whether there is anything yet or not.

    Raises:
        InputError: the place is on an object store that can't be reached.
    """
    if is_object(place):
        require_reachable(place)
    return StoreLayout(place)


def require_store(layout: StoreLayout) -> None:
    """Check that a store is there.

    Raises:
        InputError: no sweep has been run into this folder.
    """
    if not layout.sweeps.is_dir():
        raise InputError(f"--store {layout.root}: no sweep has been run into this store; is the path right?")


def require_writable(layout: StoreLayout) -> None:
    """Check that a store is there or can be made; makes nothing.

    Raises:
        InputError: it is a file, or this user may not write there.
    """
    if is_object(layout.root):
        return
    there = next(path for path in (layout.root, *layout.root.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--store {layout.root}: {there} is no folder in which this user may write")
