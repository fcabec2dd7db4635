"""Fail-points: a process that kills itself at a chosen boundary of a write, so that tests can see what is left behind.

Called by `storage.files.atomic`. The environment variable names a file with one order, such as
`before_fsync:*.pt`; the first process that comes to that point of a file of such a name takes the order away
and dies by SIGKILL, no other does. It must not know what is written.
"""

from __future__ import annotations

import os
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

VARIABLE = "TAUSWEEP_FAILPOINT"
_ORDER = os.environ.get(VARIABLE)

Point = Literal["before_write", "before_fsync", "before_rename", "after_rename"]
"""Of a publication: nothing written; written, not synced; synced, not in its place; in its place, folder not synced."""


def failpoint(point: Point, target: Path) -> None:
    """Die here if that was ordered; does nothing where the variable is not set.

    Args:
        point: how far the publication is.
        target: the file that is being published, by its final path.
    """
    if _ORDER is None:
        return
    order = Path(_ORDER)
    try:
        wanted, _, names = order.read_text().partition(":")
        if wanted != point or not fnmatchcase(target.name, names):
            return
        order.rename(f"{order}.{os.getpid()}")  # of several processes one takes it, and says who it was
    except FileNotFoundError:  # no order now, or another was faster
        return
    os.kill(os.getpid(), signal.SIGKILL)
