"""Executor on SLURM, through submitit: jobs of one call become one array, each element of which runs a worker.

This is the side that submits; what an array element does is in `orchestrator.executors.slurm_job`. What submitit pickles
is a command line and the path of the store, so that a requeued job finds the present state and not that of its
submission.
"""

from __future__ import annotations

import getpass
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from orchestrator.executors import slurm_queue
from orchestrator.executors.base import Handle, JobRequest, worker_arguments
from orchestrator.executors.slurm_job import SlurmJob
from orchestrator.resources import Resources
from storage.errors import InputError, SettingError, TausweepError
from storage.layout import StoreLayout
from storage.objects import is_object

if TYPE_CHECKING:
    import submitit

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


def require_shared(layout: StoreLayout) -> None:
    """Check that a store can be one of SLURM jobs.

    Raises:
        InputError: it is on an object store.
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
    """The type of the file system of a path, and whether it is one that machines share."""
    place = path.absolute()
    mounts = psutil.disk_partitions(all=True)
    mount = max((m for m in mounts if place.is_relative_to(m.mountpoint)), key=lambda m: len(m.mountpoint))
    return mount.fstype, mount.fstype.startswith(_SHARED)


class SlurmExecutor:
    """Arrays of SLURM jobs."""

    name = "slurm"

    def __init__(self) -> None:
        self.queue = slurm_queue.Queue()

    def _submitit(self, layout: StoreLayout, resources: Resources, name: str) -> submitit.SlurmExecutor:
        import submitit  # half a second, which commands that submit nothing need not spend

        try:
            executor = submitit.SlurmExecutor(folder=layout.scheduler_files.resolve())
        except RuntimeError as error:
            raise TausweepError(f"--executor slurm: {error}") from error
        executor.update_parameters(job_name=name, **parameters(resources))
        return executor

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Submit jobs as one array; they must be of one store and have the same resources.

        Raises:
            TausweepError: sbatch refused; with its words, and nothing was submitted.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        first = requests[0]
        layout, resources = first.layout, first.resources
        executor = self._submitit(layout, resources, first.job_id.rsplit("-", 2)[0])  # the sweep
        tasks = [slurm_job(request) for request in requests]
        slurm_queue.calls["sbatch"] = slurm_queue.calls.get("sbatch", 0) + 1
        try:
            jobs = executor.map_array(SlurmJob.__call__, tasks)
        except (FailedSubmissionError, FailedJobError, subprocess.CalledProcessError) as error:
            raise TausweepError(f"sbatch refused: {_words(error)}") from error
        submitted = time.time()
        self.queue.forget()
        return [
            Handle(
                executor=self.name,
                job_id=request.job_id,
                details={
                    "slurm_id": job.job_id,
                    "array": job.job_id.partition("_")[0],
                    "parallel": resources.workers or len(requests),
                    "user": getpass.getuser(),
                    "submitted": submitted,
                    "output": str(job.paths.stdout),
                    "resources": resources.model_dump(mode="json"),
                },
            )
            for request, job in zip(requests, jobs, strict=True)
        ]

    def script(self, layout: StoreLayout, resources: Resources, *, name: str, tasks: int) -> str:
        """The batch script of an array of so many jobs, as it would be given to sbatch."""
        executor = self._submitit(layout, resources, name)
        if tasks > 1:
            executor.parameters["map_count"] = tasks
        return executor._make_submission_file_text(executor._submitit_command_str, "dry-run")

    def test(self, script: str) -> str:
        """What sbatch says of a script without submitting it: when it would start, or why it is refused."""
        try:
            done = subprocess.run(
                ["sbatch", "--test-only"],
                input=script,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        except subprocess.TimeoutExpired:
            return "sbatch: SLURM did not answer within 60 s"
        return (done.stderr or done.stdout).strip()

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """Whether each job waits or runs, by one question; None where SLURM does not answer, or not yet."""
        return [
            self.queue.alive(told["user"], told["slurm_id"], told["submitted"])
            for told in (handle.details for handle in handles)
        ]

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """SLURM's word on each job: from the queue, with the reason if it waits; from accounting, if that is on."""
        ids = [handle.details["slurm_id"] for handle in handles]
        queues = [self.queue.jobs(handle.details["user"]) for handle in handles]
        gone = [job for job, queue in zip(ids, queues, strict=True) if queue is not None and job not in queue]
        ended = slurm_queue.ended(gone) if gone else {}
        states = [(queue or {}).get(job) or ended.get(job) for job, queue in zip(ids, queues, strict=True)]
        return [None if state is None else str(state) for state in states]

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Cancel jobs: those that run get SIGTERM, checkpoint and end; those that wait never start."""
        ids = [handle.details["slurm_id"] for handle in handles]
        for start in range(0, len(ids), 100):
            slurm_queue.ask("scancel", "--quiet", *ids[start : start + 100])
        self.queue.forget()

    def limits(self, resources: Resources) -> slurm_queue.Limits:
        """What the site allows now."""
        return slurm_queue.limits(resources.slurm.account, resources.slurm.qos)


def slurm_job(request: JobRequest) -> SlurmJob:
    """What an array element does."""
    resources = request.resources
    python = shlex.split(resources.slurm.python) if resources.slurm.python else [sys.executable]
    return SlurmJob(
        store=str(request.layout.root.resolve()),
        job_id=request.job_id,
        command=(*python, *worker_arguments(request)),
        seconds=budget(resources),
        ranks=resources.processes if resources.slurm.nodes > 1 else 1,
    )


def _words(error: Exception) -> str:
    told = [line for line in str(error).splitlines() if line.startswith("sbatch:")]
    return "\n".join(told) or str(error)
