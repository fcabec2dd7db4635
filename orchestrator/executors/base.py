"""The interface of every back-end: submit jobs, report which are alive, cancel them.

A job is one launch of the worker's entry point on a list of run directories. No state is pickled; the store
has the results of a job.
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
        resources: the resources of the job.
    """

    job_id: str
    layout: StoreLayout
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A submitted job as JSON values, with all that another process needs to find it."""

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
        name: its name on the command line.
        supervised: whether the submitting process watches its jobs and cleans up after them; otherwise a
            scheduler has them.
    """

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def supervised(self) -> bool:
        """See the class."""

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Launch jobs.

        Raises:
            TausweepError: a job cannot be launched; the message says why, and no later job was launched.
        """

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """For each job, whether it runs or waits; None if unknown, which changes no state."""

    def job_name(self, handle: Handle) -> str:
        """The scheduler's name of a job."""

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """The scheduler's own state of each job, such as `PENDING (Resources)`; None if there is none."""

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Ask jobs to save a checkpoint and end."""


def worker_options(request: JobRequest) -> WorkerOptions:
    """The options of a job's workers."""
    shared = {name: getattr(request.resources, name) for name in WorkerResources.model_fields}
    return WorkerOptions(**shared, job_id=request.job_id)


def worker_arguments(request: JobRequest, *, parent: int | None = None) -> list[str]:
    """The worker's command line, the same for every back-end, without the interpreter.

    Args:
        request: the job.
        parent: pid of the process whose end stops the worker; None if the worker may outlive it.
    """
    # -P: the user's working directory may contain a torch.py.
    return ["-P", "-m", "tausweep.workers", *main_arguments(request, parent=parent)]


def main_arguments(request: JobRequest, *, parent: int | None = None) -> list[str]:
    """The arguments of the worker's `main`; the parameters are those of `worker_arguments`."""
    options = worker_options(request).model_copy(update={"parent": parent})
    listing = f"@{request.layout.job_runs(request.job_id)}"
    return [listing, "--options", options.model_dump_json(exclude_defaults=True)]
