"""The SLURM executor, through submitit: the jobs of one call become one array whose elements run workers.

This is the side that submits; `orchestrator.executors.slurm.job` has the array element. submitit pickles only
a command line and the path of the store, so a requeued job finds the current state, not that of its
submission.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

from tausweep.orchestrator.executors.base import Handle, JobRequest, worker_arguments
from tausweep.orchestrator.executors.slurm import queue as slurm_queue
from tausweep.orchestrator.executors.slurm.array import SlurmDetails, budget, submit_array
from tausweep.orchestrator.executors.slurm.job import SlurmJob
from tausweep.orchestrator.sweep.resources import Resources


class SlurmExecutor:
    """Arrays of SLURM jobs."""

    name = "slurm"
    supervised = False

    def __init__(self) -> None:
        self.queue = slurm_queue.Queue()

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Submit jobs as one array; they must have the same store and the same resources.

        Raises:
            TausweepError: sbatch refused; the message quotes it, and nothing was submitted.
        """
        jobs = submit_array([slurm_job(request) for request in requests], requests[0].resources)
        self.queue.forget()
        return [
            Handle(executor=self.name, job_id=request.job_id, details=details.model_dump())
            for request, details in zip(requests, jobs, strict=True)
        ]

    def test(self, script: str) -> str:
        """The verdict of sbatch on a script without submitting it: when it would start, or why it is refused."""
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
        """Whether each job waits or runs, by one request; None where SLURM does not answer, or not yet."""
        all_details = map(_details, handles)
        return [self.queue.alive(job.user, job.slurm_id, job.submitted) for job in all_details]

    def job_name(self, handle: Handle) -> str:
        """SLURM's id of the job."""
        return _details(handle).slurm_id

    def at_once(self, handles: Sequence[Handle]) -> int:
        """How many of these jobs may run at once, by the limits of their arrays."""
        arrays = Counter((details.array, details.parallel) for details in map(_details, handles))
        return sum(min(parallel, count) for (_, parallel), count in arrays.items())

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """SLURM's state of each job: from the queue, with a waiting job's reason, else from accounting."""
        ids = [_details(handle).slurm_id for handle in handles]
        queues = [self.queue.jobs(_details(handle).user) for handle in handles]
        gone = [job for job, queue in zip(ids, queues, strict=True) if queue is not None and job not in queue]
        ended = slurm_queue.ended(gone) if gone else {}
        states = [(queue or {}).get(job) or ended.get(job) for job, queue in zip(ids, queues, strict=True)]
        return [None if state is None else str(state) for state in states]

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Cancel jobs: running ones get SIGTERM, save a checkpoint and end; waiting ones never start."""
        ids = [_details(handle).slurm_id for handle in handles]
        for start in range(0, len(ids), 100):
            slurm_queue.ask("scancel", "--quiet", *ids[start : start + 100])
        self.queue.forget()

    def limits(self, resources: Resources) -> slurm_queue.Limits:
        """The site's limits now."""
        return slurm_queue.limits(resources.slurm.account, resources.slurm.qos)


def slurm_job(request: JobRequest) -> SlurmJob:
    """The job that an array element executes."""
    resources = request.resources
    python = shlex.split(resources.slurm.python) if resources.slurm.python else [sys.executable]
    return SlurmJob(
        store=str(request.layout.root.resolve()),
        job_id=request.job_id,
        command=(*python, *worker_arguments(request)),
        seconds=budget(resources),
        ranks=resources.processes if resources.slurm.nodes > 1 else 1,
    )


def _details(handle: Handle) -> SlurmDetails:
    return SlurmDetails.model_validate(handle.details)
