"""The back-ends by name. A new one is a line here and a module with its site and its executor.

Back-ends are named as text, not imported: a back-end is loaded once it is chosen, and its site lies in a
higher wing because it knows plans.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Protocol, cast

from tausweep.orchestrator.executors.base import Executor
from tausweep.storage.errors import InputError, nearest

BACK_ENDS = {
    "local": "tausweep.orchestrator.execution.local_site:LocalSite",
    "slurm": "tausweep.orchestrator.execution.slurm_site:SlurmSite",
    "ray": "tausweep.orchestrator.execution.ray_site:RaySite",
}
"""Name → where its site is (see `orchestrator.execution.site.Site`), which names its executor."""


class BackEnd(Protocol):
    """The part of a site's class that this wing uses, see `orchestrator.execution.site.Site`."""

    requires: str | None

    @staticmethod
    def executor() -> Executor:
        """Make an executor."""


def back_end(name: str) -> BackEnd:
    """The site's class of a back-end.

    Raises:
        InputError: there is no back-end of this name.
    """
    if name not in BACK_ENDS:
        raise InputError(f"--executor {name}: {nearest(name, BACK_ENDS)}")
    module, _, class_name = BACK_ENDS[name].partition(":")
    return cast(BackEnd, getattr(importlib.import_module(module), class_name))


def require_executor(name: str) -> None:
    """Check the name of an executor.

    Raises:
        InputError: there is no back-end of this name, or a package that it needs is not installed.
    """
    module = back_end(name).requires
    if module is None:
        return
    try:
        importlib.import_module(module)  # before anything is written
    except ImportError as error:
        raise InputError(
            f"--executor {name}: needs a package that is not installed: pip install 'tausweep[{name}]'"
        ) from error


@cache
def executor_of(name: str) -> Executor:
    """The executor of a name, one object per process, since it caches the scheduler's answers."""
    return back_end(name).executor()
