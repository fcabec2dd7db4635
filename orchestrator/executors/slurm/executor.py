"""Executor on SLURM, through submitit: jobs of one call become one array, each element of which runs a worker.

This is the side that submits; what an array element does is in `orchestrator.executors.slurm.job`. What submitit pickles
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
from typing import TYPE_CHECKING

from tausweep.orchestrator.executors.base import Handle, JobRequest, worker_arguments
from tausweep.orchestrator.executors.slurm import queue as slurm_queue
from tausweep.orchestrator.executors.slurm.array import _words, budget, parameters
from tausweep.orchestrator.executors.slurm.job import SlurmJob
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout

if TYPE_CHECKING:
    import submitit


class SlurmExecutor:
    """Arrays of SLURM jobs."""

    name = "slurm"

    def __init__(self) -> None:
        self.queue = slurm_queue.Queue()

    def _submitit(self, layout: StoreLayout, resources: Resources, name: str) -> submitit.SlurmExecutor:
        import submitit  # half a second, which commands that submit nothing need not spend

        try:
            # -P: a job starts in the folder it was submitted from, which is the user's.
            python = f"{shlex.quote(sys.executable)} -P"
            executor = submitit.SlurmExecutor(folder=layout.scheduler_files.resolve(), python=python)
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
