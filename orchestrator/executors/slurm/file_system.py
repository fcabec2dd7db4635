"""Checks whether all nodes see the store."""

from __future__ import annotations

from pathlib import Path

import psutil

from tausweep.storage.errors import InputError
from tausweep.storage.files.object_store import is_object
from tausweep.storage.layout import StoreLayout


def require_shared(layout: StoreLayout) -> None:
    """Check that SLURM jobs can use a store.

    Raises:
        InputError: the store is on an object store.
    """
    if is_object(layout.root):
        raise InputError(
            f"--store {layout.root}: SLURM's own files need a folder that all nodes see; use a store on disk"
        )


_SHARED = (
    "nfs",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "cifs",
    "smb",
    "fuse",
    "panfs",
    "pvfs",
    "orangefs",
    "wekafs",
    "9p",
)


def shared_file_system(path: Path) -> tuple[str, bool]:
    """The type of the file system of a path, and whether several machines can share it."""
    place = path.absolute()
    mounts = psutil.disk_partitions(all=True)
    mount = max((m for m in mounts if place.is_relative_to(m.mountpoint)), key=lambda m: len(m.mountpoint))
    return mount.fstype, mount.fstype.startswith(_SHARED)
