"""A job array's parameters, from resources and the site's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import SettingError

if TYPE_CHECKING:
    pass


_NO_CAP = 1_000_000


def parameters(resources: Resources) -> dict[str, Any]:
    """Resources as submitit's parameters.

    Mapped: slurm.partition, account, qos, constraint, time, nodes, gpus, cpus, mem, setup, warn_seconds and sbatch;
    threads (the cores of each process, unless cpus says otherwise), processes (with nodes) and workers (jobs at once).
    For the worker's command line: all other fields. Nothing is left out.

    Raises:
        SettingError: a combination that no job can have.
    """
    asked = resources.slurm
    ranks, left = divmod(resources.processes, asked.nodes)
    if left:
        raise SettingError(
            "slurm.nodes", asked.nodes, f"processes = {resources.processes} can't be spread evenly over them"
        )
    if asked.gpus is not None and asked.gpus % asked.nodes:
        raise SettingError(
            "slurm.nodes", asked.nodes, f"gpus = {asked.gpus} can't be spread evenly over them"
        )
    if asked.gpus is not None and resources.device == "cpu":
        raise SettingError("slurm.gpus", asked.gpus, "device = cpu needs none")
    if asked.gpus is None and resources.device.startswith("cuda"):
        raise SettingError("device", resources.device, "slurm.gpus must say how many a job gets")
    if asked.gpus is not None and asked.gpus < resources.processes:
        raise SettingError("slurm.gpus", asked.gpus, f"processes = {resources.processes} need one each")
    if budget(resources) <= 0:
        raise SettingError(
            "slurm.time", asked.time, f"margin_seconds = {asked.margin_seconds:g} leave no time"
        )
    if asked.warning >= asked.minutes * 60:
        raise SettingError("slurm.warn_seconds", asked.warning, f"time = {asked.time} is over before")
    # One job step: ranks on one node are started by the worker itself, those on several by srun.
    tasks = ranks if asked.nodes > 1 else 1
    cpus = (asked.cpus or resources.threads) * (1 if asked.nodes > 1 else ranks)
    wanted = {
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "time": asked.minutes,
        "nodes": asked.nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": cpus,
        "gpus_per_node": asked.gpus and asked.gpus // asked.nodes,
        "mem": asked.mem,
        "setup": list(asked.setup) or None,
        "signal_delay_s": asked.warning,
        "array_parallelism": resources.workers or _NO_CAP,
        "additional_parameters": {"requeue": True, **asked.sbatch},
        "stderr_to_stdout": True,
        "wckey": None,
        # Since 22.05 a job step no longer takes it from the job.
        "srun_args": ["--cpus-per-task", str(cpus)],
    }
    return {name: value for name, value in wanted.items() if value is not None or name == "wckey"}


def budget(resources: Resources) -> float:
    """Seconds that a worker may last in a job: the time limit less a margin, or what the user says if that is less."""
    limit = resources.slurm.minutes * 60.0 - resources.slurm.margin_seconds
    return limit if resources.wall_seconds is None else min(limit, resources.wall_seconds)


def _words(error: Exception) -> str:
    told = [line for line in str(error).splitlines() if line.startswith("sbatch:")]
    return "\n".join(told) or str(error)
