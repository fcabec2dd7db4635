"""What every back-end does: submit jobs, say which are alive, cancel them.

A job is one launch of the worker's entry point on a list of run directories. No state is pickled; what a job
did is read from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.jobs import JobRecord
from tausweep.storage.layout import StoreLayout
from tausweep.workers.options import WorkerOptions, WorkerResources


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job to submit.

    Attributes:
        job_id: names the job's files (see `StoreLayout.job_runs` and `job_log`).
        layout: the store.
        resources: what the job may use.
    """

    job_id: str
    layout: StoreLayout
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A submitted job, as JSON values: enough for another process to find it again."""

    executor: str
    job_id: str
    details: dict[str, Any]

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """The handle of a recorded job."""
        return cls(executor=record.executor, job_id=record.job_id, details=record.details)


class Executor(Protocol):
    """A back-end.

    Attributes:
        name: what users call it.
        supervised: whether whoever submits a job watches over it and settles what it leaves, so that nobody has to
            explain or cancel it later; else a scheduler has it.
    """

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def supervised(self) -> bool:
        """See above."""

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Launch jobs.

        Raises:
            TausweepError: one can't be launched; says why, and none of the later ones was.
        """

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """For each job whether it still runs or waits.

        None where that can't be known, which changes no state.
        """

    def job_name(self, handle: Handle) -> str:
        """What the scheduler calls a job."""

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """The scheduler's own word on each job, such as `PENDING (Resources)`; None where there is none."""

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Ask jobs to checkpoint and end."""


def worker_options(request: JobRequest) -> WorkerOptions:
    """What a job's workers are told."""
    shared = {name: getattr(request.resources, name) for name in WorkerResources.model_fields}
    return WorkerOptions(**shared, job_id=request.job_id)


def worker_arguments(request: JobRequest, *, parent: int | None = None) -> list[str]:
    """The worker's command line, the same for every back-end, without the interpreter.

    Args:
        request: the job.
        parent: pid of the process with which the worker is to end, None if it is to outlive it.
    """
    # -P: the working directory is the user's, and may hold a torch.py.
    return ["-P", "-m", "tausweep.workers", *main_arguments(request, parent=parent)]


def main_arguments(request: JobRequest, *, parent: int | None = None) -> list[str]:
    """What the worker's `main` is given; the arguments are those of `worker_arguments`."""
    options = worker_options(request).model_copy(update={"parent": parent})
    listing = f"@{request.layout.job_runs(request.job_id)}"
    return [listing, "--options", options.model_dump_json(exclude_defaults=True)]
