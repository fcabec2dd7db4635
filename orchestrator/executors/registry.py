"""The executors by name."""

from __future__ import annotations

from functools import cache

from tausweep.orchestrator.executors.base import Executor
from tausweep.orchestrator.executors.local import LocalExecutor
from tausweep.storage.errors import InputError, nearest

EXECUTORS = ("local", "slurm", "ray")


def require_executor(name: str) -> None:
    """Check the name of an executor.

    Raises:
        InputError: there is none of this name, or a package that it needs is not installed.
    """
    if name not in EXECUTORS:
        raise InputError(f"--executor {name}: {nearest(name, EXECUTORS)}")
    if name == "ray":
        from tausweep.orchestrator.executors.ray.cluster import require_ray

        require_ray()
    if name == "slurm":
        try:
            import submitit  # noqa: F401 - looked for before anything is written
        except ImportError as error:
            raise InputError(
                "--executor slurm: needs a package that is not installed: pip install 'tausweep[slurm]'"
            ) from error


@cache
def executor_of(name: str) -> Executor:
    """The executor of a name, one object a process: it remembers what its scheduler said."""
    if name == "local":
        return LocalExecutor()
    if name == "ray":
        from tausweep.orchestrator.executors.ray.executor import RayExecutor

        return RayExecutor()
    from tausweep.orchestrator.executors.slurm.executor import SlurmExecutor

    return SlurmExecutor()
