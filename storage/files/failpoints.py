"""Failpoints: a process kills itself at a chosen point of a write, so that tests see what is left behind.

Called by `storage.files.atomic`. The environment variable names a file with one order, such as
`before_fsync:*.pt`. The first process that reaches this point with a file of such a name removes the order
and dies by SIGKILL; no other does. Knows nothing about the contents.
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
    """Die here if that was ordered; does nothing if the variable is not set.

    Args:
        point: the stage of the publication.
        target: the final path of the file that is being published.
    """
    if _ORDER is None:
        return
    order = Path(_ORDER)
    try:
        wanted, _, names = order.read_text().partition(":")
        if wanted != point or not fnmatchcase(target.name, names):
            return
        order.rename(f"{order}.{os.getpid()}")  # one of several processes takes the order and notes its pid
    except FileNotFoundError:  # no order, or another process was faster
        return
    os.kill(os.getpid(), signal.SIGKILL)
