"""A job array: its parameters from resources, and its submission through submitit.

Called by the executor, and by a job that must continue but cannot be requeued. Does not know what an element
does.
"""

from __future__ import annotations

import getpass
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from tausweep.orchestrator.executors.slurm import queue as slurm_queue
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import SettingError, TausweepError
from tausweep.storage.layout import StoreLayout

if TYPE_CHECKING:
    import submitit


_NO_CAP = 1_000_000


def parameters(resources: Resources) -> dict[str, Any]:
    """Resources as submitit's parameters.

    Mapped: slurm.partition, account, qos, constraint, time, nodes, gpus, cpus, mem, setup, warn_seconds and
    sbatch; threads (the cores of each process, unless cpus says otherwise), processes (with nodes) and
    workers (jobs at once). For the worker's command line: all other fields. Nothing is dropped.

    Raises:
        SettingError: the combination is not possible for a job.
    """
    options = resources.slurm
    ranks, left = divmod(resources.processes, options.nodes)
    if left:
        raise SettingError(
            "slurm.nodes",
            options.nodes,
            f"processes = {resources.processes} cannot be spread evenly over the nodes",
        )
    if options.gpus is not None and options.gpus % options.nodes:
        raise SettingError(
            "slurm.nodes", options.nodes, f"gpus = {options.gpus} cannot be spread evenly over the nodes"
        )
    if options.gpus is not None and resources.device == "cpu":
        raise SettingError("slurm.gpus", options.gpus, "device = cpu needs no GPU")
    if options.gpus is None and resources.device.startswith("cuda"):
        raise SettingError("device", resources.device, "slurm.gpus must say how many GPUs a job gets")
    if options.gpus is not None and options.gpus < resources.processes:
        raise SettingError("slurm.gpus", options.gpus, f"processes = {resources.processes} need one GPU each")
    if budget(resources) <= 0:
        raise SettingError(
            "slurm.time", options.time, f"margin_seconds = {options.margin_seconds:g} leaves no time"
        )
    if options.warning >= options.minutes * 60:
        raise SettingError("slurm.warn_seconds", options.warning, f"time = {options.time} is over before")
    # One job step: the worker starts ranks on one node, srun those on several.
    tasks = ranks if options.nodes > 1 else 1
    cpus = (options.cpus or resources.threads) * (1 if options.nodes > 1 else ranks)
    settings = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        "time": options.minutes,
        "nodes": options.nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": cpus,
        "gpus_per_node": options.gpus and options.gpus // options.nodes,
        "mem": options.mem,
        "setup": list(options.setup) or None,
        "signal_delay_s": options.warning,
        "array_parallelism": resources.workers or _NO_CAP,
        "additional_parameters": {"requeue": True, **options.sbatch},
        "stderr_to_stdout": True,
        "wckey": None,
        # Since 22.05 a job step no longer inherits this from the job.
        "srun_args": ["--cpus-per-task", str(cpus)],
    }
    return {name: value for name, value in settings.items() if value is not None or name == "wckey"}


def budget(resources: Resources) -> float:
    """Seconds that a worker may run in a job: the time limit minus a margin, or less if the user says so."""
    limit = resources.slurm.minutes * 60.0 - resources.slurm.margin_seconds
    return limit if resources.wall_seconds is None else min(limit, resources.wall_seconds)


class ArrayTask(Protocol):
    """What an element of an array does, as submitit pickles it."""

    @property
    def store(self) -> str:
        """Path of the store."""

    @property
    def job_id(self) -> str:
        """Names the job's files in the store."""

    def __call__(self) -> None:
        """Execute the element."""


class SlurmDetails(BaseModel):
    """What finds a job again, and its resources.

    Attributes:
        slurm_id: SLURM's id of the job: ARRAY_INDEX for one of several.
        array: SLURM's id of its array.
        parallel: jobs of the array that may run at once.
        user: the user who submitted it.
        submitted: seconds since 1970-01-01 UTC.
        output: the file into which SLURM writes its output.
        resources: its resources as JSON values, for a job that takes its place.
    """

    model_config = ConfigDict(frozen=True)

    slurm_id: str
    array: str
    parallel: int
    user: str
    submitted: float
    output: str
    resources: dict[str, Any]


def submit_array(tasks: Sequence[ArrayTask], resources: Resources) -> list[SlurmDetails]:
    """Submit jobs of one store as one array.

    Raises:
        TausweepError: sbatch refused; the message quotes it, and nothing was submitted.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    sweep = tasks[0].job_id.rsplit("-", 2)[0]
    executor = _submitit(StoreLayout(Path(tasks[0].store)), resources, sweep)
    slurm_queue.calls["sbatch"] = slurm_queue.calls.get("sbatch", 0) + 1
    try:
        jobs = executor.map_array(_do, tasks)
    except (FailedSubmissionError, FailedJobError, subprocess.CalledProcessError) as error:
        raise TausweepError(f"sbatch refused: {_words(error)}") from error
    submitted = time.time()
    return [
        SlurmDetails(
            slurm_id=job.job_id,
            array=job.job_id.partition("_")[0],
            parallel=resources.workers or len(tasks),
            user=getpass.getuser(),
            submitted=submitted,
            output=str(job.paths.stdout),
            resources=resources.model_dump(mode="json"),
        )
        for job in jobs
    ]


def batch_script(layout: StoreLayout, resources: Resources, *, name: str, tasks: int) -> str:
    """The batch script of an array of this many jobs, as it would be passed to sbatch."""
    executor = _submitit(layout, resources, name)
    if tasks > 1:
        executor.parameters["map_count"] = tasks
    # Private, but there is no other way to get a script without submitting it: pyproject.toml bounds the
    # version.
    return executor._make_submission_file_text(executor._submitit_command_str, "dry-run")


def _submitit(layout: StoreLayout, resources: Resources, name: str) -> submitit.SlurmExecutor:
    import submitit  # takes half a second, so only commands that submit import it

    # -P: a job starts in the user's folder, from which it was submitted.
    python = f"{shlex.quote(sys.executable)} -P"
    try:
        executor = submitit.SlurmExecutor(folder=layout.scheduler_files.resolve(), python=python)
    except RuntimeError as error:
        raise TausweepError(f"--executor slurm: {error}") from error
    executor.update_parameters(job_name=name, **parameters(resources))
    return executor


def _do(task: ArrayTask) -> None:
    task()


def _words(error: Exception) -> str:
    of_sbatch = [line for line in str(error).splitlines() if line.startswith("sbatch:")]
    return "\n".join(of_sbatch) or str(error)
