"""The driver of a Ray job: submits each run to Ray as a task, again and again until it has ended.

Started on the cluster's head node by Ray Jobs, see `orchestrator.executors.ray.executor`. Ray decides which
run is executed next and where. The store decides whether a run is retried (docs/reliability.md).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from tausweep.orchestrator.executors.base import JobRequest, worker_options
from tausweep.orchestrator.executors.ray.cluster import Node, places
from tausweep.orchestrator.executors.ray.placement import bundle, parameters
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.jobs import listed_runs
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.status import RunStatus, run_status
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import location
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.maintenance import MERGED_RUNS
from tausweep.storage.maintenance.compaction import compact_in_passing
from tausweep.workers.stop import EXIT_REQUEUE

IN_RAY = 1000
"""Tasks that Ray is given at a time: more than there is room for on most clusters, and few enough for any head node."""

_POLL_SECONDS = 2.0
_FRUITLESS = 3  # so many tasks in a row that end before they begin a run: then no run is to blame

Start = Callable[[Sequence[str]], Any]
"""Hands run directories to Ray as one task; returns its reference."""


@dataclass
class _Task:
    runs: list[RunDirectory]
    attempts: int  # of all runs together, at its submission


@dataclass
class Drive:
    """The runs of one job on their way through Ray.

    Attributes:
        runs: the runs to execute.
        start: see `Start`.
        at_once: tasks submitted to Ray at a time.
        size: runs per task.
    """

    runs: Sequence[RunDirectory]
    start: Start
    at_once: int
    size: int = 1
    stopped: bool = False
    _waiting: deque[RunDirectory] = field(default_factory=deque)
    _later: list[RunDirectory] = field(default_factory=list)
    _looked: float = 0.0
    _in_ray: dict[Any, _Task] = field(default_factory=dict)
    _finished: list[RunDirectory] = field(default_factory=list)
    _given_up: int = 0
    _fruitless: int = 0
    _watch: Watch = field(default_factory=Watch)

    def __call__(self) -> int:
        """Submit tasks until all runs have ended or the job is stopped.

        Returns:
            0; 1 if some runs could not begin; the exit code for "start me again" if stopped.

        Raises:
            TausweepError: no task can begin its runs.
        """
        import ray

        self._waiting = deque(self.runs)
        cancelled = False
        while self._waiting or self._later or self._in_ray:
            if not self.stopped:
                self._hand_over()
            elif not cancelled:
                cancelled = True
                self._waiting.clear()
                self._later.clear()
                for task in list(self._in_ray):
                    # Running tasks get the equivalent of SIGINT and end their own children.
                    ray.cancel(task, recursive=False)
            if self._in_ray:
                ready, _ = ray.wait(list(self._in_ray), timeout=_POLL_SECONDS, fetch_local=False)
                for reference in ready:
                    self._take_back(reference)
            elif self._later:
                time.sleep(_POLL_SECONDS)
        self._merge()
        return EXIT_REQUEUE if self.stopped else int(self._given_up > 0)

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler
        """Make all tasks end, running ones with a checkpoint."""
        self.stopped = True

    def _hand_over(self) -> None:
        """Submit the runs that may begin now.

        Runs that wait for a retry, or that others execute, are checked later.
        """
        if self._later and time.monotonic() - self._looked > _POLL_SECONDS:
            self._waiting.extend(self._later)
            self._later = []
            self._looked = time.monotonic()
        chosen: list[RunDirectory] = []
        while self._waiting and len(self._in_ray) < self.at_once:
            run = self._waiting.popleft()
            status = run_status(run, self._watch)
            if status.claimable:
                chosen.append(run)
            elif _open(status):
                self._later.append(run)
            if len(chosen) == self.size:
                self._give(chosen)
                chosen = []
        if chosen:
            self._give(chosen)

    def _give(self, runs: list[RunDirectory]) -> None:
        reference = self.start([str(run.path) for run in runs])
        self._in_ray[reference] = _Task(runs=runs, attempts=_attempts(runs))

    def _take_back(self, reference: Any) -> None:
        import ray
        from ray.exceptions import RayError, TaskCancelledError

        task = self._in_ray.pop(reference)
        names = ", ".join(run.run_id for run in task.runs)
        fault: str | None = None
        try:
            code = ray.get(reference)
            fault = None if code in (0, EXIT_REQUEUE) else f"the worker ended with code {code}"
        except TaskCancelledError:
            pass
        except RayError as error:
            fault = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
            print(f"{names}: {error}", flush=True)  # noqa: T201 - into the job's log
        begun = _attempts(task.runs) > task.attempts
        if fault is not None and not begun and not self.stopped:
            self._count_fruitless(names, fault)
            return
        if begun:
            self._fruitless = 0
        for run in task.runs:
            status = run_status(run, self._watch)
            if status.state == "succeeded":
                self._finished.append(run)
            elif _open(status) and not self.stopped:
                self._later.append(run)
        self._merge()

    def _count_fruitless(self, names: str, fault: str) -> None:
        self._given_up += 1
        self._fruitless += 1
        print(f"{names}: this job gives them up, {fault}", flush=True)  # noqa: T201
        if self._fruitless >= _FRUITLESS:
            raise TausweepError(f"tasks end before they begin a run: {fault}")

    def _merge(self) -> None:
        if len(self._finished) >= MERGED_RUNS:
            compact_in_passing(self._finished)
            self._finished.clear()


def _open(status: RunStatus) -> bool:
    return status.waiting or status.state == "running"


def _attempts(runs: Sequence[RunDirectory]) -> int:
    return sum(len(run.attempt_numbers()) for run in runs)


def starter(request: JobRequest) -> Start:
    """The function that submits this job's runs as tasks of Ray.

    Raises:
        SettingError: the resources are not possible for a task.
    """
    import ray

    from tausweep.orchestrator.executors.ray import task as ray_task

    resources = request.resources
    task_options = parameters(resources)
    changes: dict[str, object] = {"wait": False}
    if task_options.get("num_gpus") is None:  # never use a GPU that Ray did not assign
        changes["device"] = "cpu"
    options = worker_options(request).model_copy(update=changes).model_dump_json()
    if resources.processes == 1:
        task = ray.remote(ray_task.execute).options(**task_options, name=f"tausweep {request.job_id}")
        return lambda runs: task.remote(list(runs), options)
    train = ray.remote(ray_task.train).options(num_cpus=0, max_retries=task_options["max_retries"])
    strategy = "SPREAD" if resources.ray.strategy == "SPREAD" else "PACK"
    files = str(request.layout.scheduler_files)
    return lambda runs: train.remote(
        list(runs),
        options,
        resources.processes,
        bundle(resources),
        strategy,
        resources.rank_timeout_seconds,
        resources.wall_seconds,
        files,
    )


def at_once(resources: Resources) -> int:
    """Tasks submitted to Ray at a time: the sweep's own cap, or enough to fill the cluster."""
    import ray

    if resources.workers is not None:
        return resources.workers
    if resources.processes == 1:
        return IN_RAY
    # Each has helper processes that only wait: two more tasks than fit keep the cluster full.
    nodes = [
        Node(name=node["NodeName"], has=node["Resources"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]
    return places(nodes, bundle(resources)) // resources.processes + 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Drive a job's runs through Ray.

    Args:
        arguments: the store, the job's id, and its resources as JSON.

    Returns:
        The exit code.
    """
    import ray

    store, job_id, resources = sys.argv[1:] if arguments is None else arguments
    layout = StoreLayout(location(store))
    request = JobRequest(job_id=job_id, layout=layout, resources=Resources.parse(json.loads(resources)))
    runs = listed_runs(layout, job_id)
    if runs is None:
        missing = layout.job_runs(job_id)
        print(f"worker: {missing}: does not exist; does this node see the store?", file=sys.stderr)  # noqa: T201
        return 1
    os.chdir(sys.prefix)  # Ray would put the working directory first in its workers' import path
    ray.init(address="auto", namespace=f"tausweep-{job_id}")
    drive = Drive(
        runs=runs,
        start=starter(request),
        at_once=at_once(request.resources),
        size=request.resources.ray.runs_per_task,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drive.stop)
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    try:
        code = drive()
    except TausweepError as error:
        print(f"job {job_id}: {error}", file=sys.stderr)  # noqa: T201
        code = error.exit_code
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"job {job_id}: ended with {code}; the driver took {peak} MB, {began} MB before its first run")  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
