"""What every back-end does: submit jobs, say which are alive, cancel them.

A job is one launch of the worker's entry point on a list of run directories. Nothing is pickled; what a job did is
read from the store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.layout import StoreLayout


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


class Executor(Protocol):
    """A back-end."""

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Launch jobs.

        Raises:
            TausweepError: one can't be launched; says why, and none of the later ones was.
        """

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """For each job whether it still runs or waits; None where that can't be known, which changes no state."""

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """The scheduler's own word on each job, such as `PENDING (Resources)`; None where there is none."""

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Ask jobs to checkpoint and end."""


def worker_arguments(request: JobRequest) -> list[str]:
    """The worker's command line, the same for every back-end, without the interpreter."""
    return ["-m", "tausweep.workers", f"@{request.layout.job_runs(request.job_id)}", *worker_options(request)]


def worker_options(request: JobRequest) -> list[str]:
    """What follows the run directories in the worker's command line."""
    resources = request.resources
    keep = resources.keep_checkpoints
    optional = {
        "--checkpoint-steps": resources.checkpoint_steps,
        "--wall-seconds": resources.wall_seconds,
        "--keep-checkpoints": keep if isinstance(keep, str) else ",".join(map(str, keep)) or None,
    }
    return [
        "--processes",
        str(resources.processes),
        "--rank-timeout-seconds",
        str(resources.rank_timeout_seconds),
        "--threads",
        str(resources.threads),
        "--device",
        resources.device,
        "--heartbeat-seconds",
        str(resources.heartbeat_seconds),
        "--checkpoint-seconds",
        str(math.inf if resources.checkpoint_seconds is None else resources.checkpoint_seconds),
        "--max-attempts",
        str(resources.max_attempts),
        "--retry-seconds",
        str(resources.retry_seconds),
        *(word for name, value in optional.items() if value is not None for word in (name, str(value))),
        "--job-id",
        request.job_id,
    ]
