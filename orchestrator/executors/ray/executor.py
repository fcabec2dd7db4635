"""The Ray executor: each job is a Ray job whose driver submits every run to Ray as a task.

This is the side that submits and that queries from any shell; the driver is in
`orchestrator.executors.ray.driver`. Ray's scheduler decides what runs where and when. Ray receives only a
command line and paths, so a job finds the current state of the store, not that of its submission.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tausweep.orchestrator.executors.base import Handle, JobRequest
from tausweep.orchestrator.executors.ray import cluster as ray_cluster
from tausweep.orchestrator.executors.ray.placement import require_place
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import InputError, TausweepError
from tausweep.storage.files.object_store import is_object
from tausweep.storage.layout import StoreLayout

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_STOP_MARGIN_SECONDS = 10
_LONGEST_WORD = 120


class RayDetails(BaseModel):
    """What finds a Ray job again: its id, the cluster's dashboard, and its log if it has one."""

    model_config = ConfigDict(frozen=True)

    submission_id: str
    dashboard: str
    output: str | None = None


class RayExecutor:
    """Ray jobs."""

    name = "ray"
    supervised = False

    def __init__(self) -> None:
        self._clients: dict[str | None, JobSubmissionClient] = {}
        self.problem: str | None = None

    def _client(self, address: str | None) -> JobSubmissionClient:
        if address not in self._clients:
            self._clients[address] = ray_cluster.client(address)
        return self._clients[address]

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Submit a Ray job for each request.

        Raises:
            SettingError: no node has the resources of a run; nothing was submitted.
            TausweepError: Ray refused a job; no later job was submitted.
        """
        for resources in {
            request.resources.model_dump_json(): request.resources for request in requests
        }.values():
            require_place(resources)
        return [self._submit(request) for request in requests]

    def _submit(self, request: JobRequest) -> Handle:
        cluster = self._client(request.resources.ray.address)
        submission = ray_cluster.answer(
            lambda: cluster.submit_job(
                entrypoint=entrypoint(request),
                runtime_env={"env_vars": environment(request.resources)},
                metadata={"tausweep_job": request.job_id, "tausweep_store": str(request.layout.root)},
            )
        )
        log = _log(request)
        details = RayDetails(
            submission_id=submission,
            dashboard=cluster.get_address(),
            output=None if log is None else str(log),
        )
        return Handle(executor=self.name, job_id=request.job_id, details=details.model_dump())

    def _jobs(self, handles: Sequence[Handle]) -> list[tuple[bool, JobDetails | None]]:
        """For each handle, whether its cluster answers, and the details of the job.

        One request per cluster.
        """
        all_details = [RayDetails.model_validate(handle.details) for handle in handles]
        answers: dict[str, dict[str, JobDetails] | None] = {}
        for dashboard in {details.dashboard for details in all_details}:
            try:
                answers[dashboard] = ray_cluster.jobs(self._client(dashboard))
            except TausweepError as error:
                self.problem = str(error)
                self._clients.pop(dashboard, None)  # the cluster may restart with another version
                answers[dashboard] = None
        known = [answers[details.dashboard] for details in all_details]
        return [
            (jobs is not None, (jobs or {}).get(details.submission_id))
            for details, jobs in zip(all_details, known, strict=True)
        ]

    def job_name(self, handle: Handle) -> str:
        """Ray's submission id."""
        return RayDetails.model_validate(handle.details).submission_id

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """Whether each job waits or runs; None where Ray does not answer.

        A restarted head has forgotten older jobs.
        """
        return [
            None if not answers else job is not None and job.status.value not in _ENDED
            for answers, job in self._jobs(handles)
        ]

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """Ray's state of each job, with the first line of its message unless it runs or has succeeded."""
        return [None if job is None else _word(job) for _, job in self._jobs(handles)]

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Stop jobs: their running tasks save a checkpoint and end, and waiting ones never start.

        Raises:
            TausweepError: Ray does not answer.
        """
        for handle, (answers, job) in zip(handles, self._jobs(handles), strict=True):
            if not answers:
                raise TausweepError(f"job {handle.job_id} could not be cancelled: {self.problem}")
            if job is not None and job.status.value not in _ENDED:
                details = RayDetails.model_validate(handle.details)
                cluster = self._client(details.dashboard)
                ray_cluster.answer(partial(cluster.stop_job, details.submission_id))


def entrypoint(request: JobRequest) -> str:
    """The shell command that Ray runs on its head node: the job's driver, writing to the job's log."""
    log = _log(request)
    store = request.layout.root if log is None else request.layout.root.resolve()
    python = request.resources.ray.python or shlex.quote(sys.executable)
    words = ["-P", "-m", "tausweep.orchestrator.executors.ray.driver", str(store), request.job_id]
    words.append(json.dumps(request.resources.model_dump(mode="json", exclude_defaults=True)))
    command = f"exec {python} {shlex.join(words)}"
    return command if log is None else f"exec >> {shlex.quote(str(log))} 2>&1; {command}"


def _log(request: JobRequest) -> Path | None:
    """The file for the job's output.

    None where Ray keeps it, since object stores do not support appending.
    """
    if is_object(request.layout.root):
        return None
    return StoreLayout(request.layout.root.resolve()).job_log(request.job_id)


def environment(resources: Resources) -> dict[str, str]:
    """Environment variables of the job's processes.

    Raises:
        InputError: a variable to pass on is not set here.
    """
    passed = {}
    for name in resources.ray.environment:
        if name not in os.environ:
            raise InputError(f"ray.environment: {name} is not set here")
        passed[name] = os.environ[name]
    threads = dict.fromkeys(_THREAD_VARIABLES, str(resources.threads))
    # Read by Ray's supervisor of the job, which otherwise kills the driver and all tasks after three seconds.
    stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(resources.ray.stop_seconds + _STOP_MARGIN_SECONDS)}
    # Ray Train would print each line of a run's log twice; and nothing is imported from where Ray was
    # started.
    fixed = {"RAY_TRAIN_ENABLE_PRINT_PATCH": "0", "PYTHONSAFEPATH": "1"}
    return threads | stop | fixed | passed


def _word(job: JobDetails) -> str:
    status = job.status.value
    if status in ("RUNNING", "SUCCEEDED") or not job.message:
        return str(status)
    first = job.message.strip().splitlines()[0]
    return f"{status} ({first[:_LONGEST_WORD]})"
