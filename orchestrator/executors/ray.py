"""Executor on Ray: each job is a Ray job, whose driver hands every run to Ray as a task (`…executors.ray_driver`).

This is the side that submits, and that asks from any shell. Ray's scheduler decides what runs where and when. What Ray is
given is a command line and paths, so that a job finds the present state of the store and not that of its submission.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.executors import ray_cluster
from orchestrator.executors.base import Handle, JobRequest
from orchestrator.resources import Resources
from storage.errors import InputError, SettingError, TausweepError
from storage.layout import StoreLayout
from storage.objects import is_object

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_STOP_MARGIN_SECONDS = 10
_LONGEST_WORD = 120


def parameters(resources: Resources) -> dict[str, Any]:
    """Resources as the options of a Ray task, for each process of a run.

    Mapped: ray.cpus or threads (num_cpus), ray.gpus, ray.memory, ray.custom, ray.accelerator, ray.strategy, and
    max_attempts (max_retries). By the driver: workers (runs at once), processes (ranks of Ray Train), ray.runs_per_task.
    By the Ray job: ray.address, ray.environment, ray.python, ray.stop_seconds; by the check before it: ray.fit. For the
    worker's command line: all other fields. Refused: a device with a number. Not of Ray: slurm.

    Raises:
        SettingError: a combination that no task can have.
    """
    asked = resources.ray
    if ":" in resources.device:
        raise SettingError("device", resources.device, "Ray says which GPU; write cuda, and ray.gpus")
    if asked.gpus is not None and resources.device == "cpu":
        raise SettingError("ray.gpus", asked.gpus, "device = cpu needs none")
    if asked.gpus is None and resources.device == "cuda":
        raise SettingError("device", resources.device, "ray.gpus must say how many each process gets")
    if asked.gpus is None and asked.accelerator is not None:
        raise SettingError(
            "ray.accelerator", asked.accelerator, "ray.gpus must say how many each process gets"
        )
    if asked.gpus is not None and asked.gpus > 1:
        raise SettingError("ray.gpus", asked.gpus, "a process computes on one; use processes for more")
    if asked.gpus is not None and asked.gpus < 1 and resources.processes > 1:
        raise SettingError("ray.gpus", asked.gpus, f"processes = {resources.processes} need a whole GPU each")
    if resources.processes > 1 and asked.accelerator is not None:
        raise SettingError("ray.accelerator", asked.accelerator, "only where a run is trained by one process")
    wanted = {
        "num_cpus": float(resources.threads) if asked.cpus is None else asked.cpus,
        "num_gpus": asked.gpus,
        "memory": asked.memory_bytes,
        "resources": dict(asked.custom) or None,
        "accelerator_type": asked.accelerator,
        "scheduling_strategy": asked.strategy,
        # An execution that Ray repeats is a try of ours: it ends with the last of them, and counts no further.
        "max_retries": resources.max_attempts - 1,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def bundle(resources: Resources) -> dict[str, float]:
    """What each process of a run takes of a node, by Ray's names."""
    options = parameters(resources)
    named = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus"), "memory": options.get("memory")}
    found = {name: float(value) for name, value in named.items() if value is not None}
    if resources.ray.accelerator is not None:
        found[f"accelerator_type:{resources.ray.accelerator}"] = 0.001  # as Ray itself does
    return found | resources.ray.custom


@dataclass(frozen=True, kw_only=True)
class Site:
    """What was learnt of a cluster before a submission.

    Attributes:
        dashboard: its address, http(s)://HOST:PORT.
        places: processes that it holds at once now.
        warning: what the user should mend, if anything.
    """

    dashboard: str
    places: int
    warning: str | None


def require_place(resources: Resources) -> Site:
    """Check that the cluster can execute a run, and whether it is safe to use.

    Raises:
        SettingError: a field has no valid combination with others, or no node of the cluster has what it asks for.
        TausweepError: there is no cluster, or it does not answer.
    """
    each = bundle(resources)
    cluster = ray_cluster.client(resources.ray.address)
    dashboard = cluster.get_address()
    found = ray_cluster.nodes(dashboard)
    room = ray_cluster.places(found, each)
    if room < resources.processes and resources.ray.fit == "present":
        raise _no_place(resources, each, found, room)
    return Site(dashboard=dashboard, places=room, warning=ray_cluster.exposure(cluster))


def _no_place(
    resources: Resources, each: dict[str, float], found: Sequence[ray_cluster.Node], room: int
) -> SettingError:
    has = f"the cluster has {'; '.join(map(str, found))}. Where an autoscaler brings more: ray.fit = later"
    if room:
        problem = f"{ray_cluster.describe(each)} are needed for each, which there is for {room}; {has}"
        return SettingError("processes", resources.processes, problem)
    fields = {"CPU": "ray.cpus" if resources.ray.cpus is not None else "threads", "GPU": "ray.gpus"}
    fields |= {"memory": "ray.memory"}
    for name, amount in each.items():
        if not ray_cluster.places(found, {name: amount}):
            field = (
                "ray.accelerator"
                if name.startswith("accelerator_type:")
                else fields.get(name, f"ray.custom.{name}")
            )
            value = resources.ray.accelerator if field == "ray.accelerator" else amount
            value = resources.ray.memory if field == "ray.memory" else value
            return SettingError(field, value, f"no node has so much; {has}")
    return SettingError("ray", ray_cluster.describe(each), f"no node has all of it; {has}")


class RayExecutor:
    """Ray jobs."""

    name = "ray"

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
            SettingError: no node has what a run asks for; nothing was submitted.
            TausweepError: Ray refused a job, and none of the later ones was submitted.
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
        details = {
            "submission_id": submission,
            "dashboard": cluster.get_address(),
            "output": None if log is None else str(log),
        }
        return Handle(executor=self.name, job_id=request.job_id, details=details)

    def _jobs(self, handles: Sequence[Handle]) -> list[tuple[bool, JobDetails | None]]:
        """For each handle whether its cluster answers, and what it says of the job; one question a cluster."""
        told: dict[str, dict[str, JobDetails] | None] = {}
        for dashboard in {handle.details["dashboard"] for handle in handles}:
            try:
                told[dashboard] = ray_cluster.jobs(self._client(dashboard))
            except TausweepError as error:
                self.problem = str(error)
                self._clients.pop(dashboard, None)  # it may come back as another version
                told[dashboard] = None
        known = [told[handle.details["dashboard"]] for handle in handles]
        return [
            (jobs is not None, (jobs or {}).get(handle.details["submission_id"]))
            for handle, jobs in zip(handles, known, strict=True)
        ]

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """Whether each job waits or runs; None where Ray does not answer. A head that restarted knows no older jobs."""
        return [
            None if not answers else job is not None and job.status.value not in _ENDED
            for answers, job in self._jobs(handles)
        ]

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """Ray's word on each job, with its first line of explanation unless it runs or has succeeded."""
        return [None if job is None else _word(job) for _, job in self._jobs(handles)]

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Stop jobs: their drivers have running tasks checkpoint and end, and waiting ones never start.

        Raises:
            TausweepError: Ray does not answer.
        """
        for handle, (answers, job) in zip(handles, self._jobs(handles), strict=True):
            if not answers:
                raise TausweepError(f"job {handle.job_id} is not cancelled: {self.problem}")
            if job is not None and job.status.value not in _ENDED:
                submission = handle.details["submission_id"]
                cluster = self._client(handle.details["dashboard"])
                ray_cluster.answer(partial(cluster.stop_job, submission))


def entrypoint(request: JobRequest) -> str:
    """The shell command that Ray runs on its head node: the job's driver, whose output is the job's log."""
    log = _log(request)
    store = request.layout.root if log is None else request.layout.root.resolve()
    python = request.resources.ray.python or shlex.quote(sys.executable)
    words = ["-m", "orchestrator.executors.ray_driver", str(store), request.job_id]
    words.append(json.dumps(request.resources.model_dump(mode="json", exclude_defaults=True)))
    command = f"exec {python} {shlex.join(words)}"
    return command if log is None else f"exec >> {shlex.quote(str(log))} 2>&1; {command}"


def _log(request: JobRequest) -> Path | None:
    """Where the job's output goes; None where it stays with Ray, since an object store takes no appending."""
    if is_object(request.layout.root):
        return None
    return StoreLayout(request.layout.root.resolve()).job_log(request.job_id)


def environment(resources: Resources) -> dict[str, str]:
    """Variables of the job's processes.

    Raises:
        InputError: one that is to be passed on is not set here.
    """
    passed = {}
    for name in resources.ray.environment:
        if name not in os.environ:
            raise InputError(f"ray.environment: {name} is not set here")
        passed[name] = os.environ[name]
    threads = dict.fromkeys(_THREAD_VARIABLES, str(resources.threads))
    # Read by Ray's supervisor of the job; after three seconds, else, it kills the driver and with it all tasks.
    stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(resources.ray.stop_seconds + _STOP_MARGIN_SECONDS)}
    # Ray Train would have each line of a run's log twice.
    return threads | stop | {"RAY_TRAIN_ENABLE_PRINT_PATCH": "0"} | passed


def _word(job: JobDetails) -> str:
    status = job.status.value
    if status in ("RUNNING", "SUCCEEDED") or not job.message:
        return str(status)
    first = job.message.strip().splitlines()[0]
    return f"{status} ({first[:_LONGEST_WORD]})"
