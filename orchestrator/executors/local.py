"""Executor on this machine: each job is a worker process of its own session, its output in the job's log.

A worker ends when the process that submitted it does: an interrupted terminal leaves no training behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from tausweep.orchestrator.executors.base import Handle, JobRequest, worker_arguments
from tausweep.storage.attempts.records import Process
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.local_copies import local_log

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalExecutor:
    """Worker processes of this machine."""

    name = "local"
    supervised = True

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Start a process for each job."""
        return [self._start(request) for request in requests]

    def _start(self, request: JobRequest) -> Handle:
        threads = dict.fromkeys(_THREAD_VARIABLES, str(request.resources.threads))
        command = [sys.executable, *worker_arguments(request, parent=os.getpid())]
        log = local_log(request.layout.job_log(request.job_id))
        try:
            with log.open("ab") as output:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | threads,
                    start_new_session=True,  # Ctrl-C reaches us alone; we tell the workers
                )
        except OSError as error:
            raise TausweepError(f"job {request.job_id}: the worker can't be started ({error})") from error
        self._children[request.job_id] = child
        details = Process.of(child.pid).model_dump(mode="json")
        return Handle(executor=self.name, job_id=request.job_id, details=details)

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """Whether each process exists; None for a process of another machine."""
        return [self._alive(handle) for handle in handles]

    def _alive(self, handle: Handle) -> bool | None:
        child = self._children.get(handle.job_id)
        if child is not None:
            return child.poll() is None
        process = _process(handle)
        return process.alive() if process.visible() else None

    def job_name(self, handle: Handle) -> str:
        """The pid of its process."""
        return str(_process(handle).pid)

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """Nothing: there is no scheduler."""
        return [None] * len(handles)

    def exit_code(self, handle: Handle) -> int | None:
        """Exit code of a job that this object started; negative for a signal; None while it runs."""
        return self._children[handle.job_id].poll()

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Send SIGTERM: the worker checkpoints and ends."""
        self._signal(handles, signal.SIGTERM)

    def kill(self, handles: Sequence[Handle]) -> None:
        """Send SIGKILL, for a user who does not want to wait."""
        self._signal(handles, signal.SIGKILL)

    def _signal(self, handles: Sequence[Handle], number: signal.Signals) -> None:
        for handle in handles:
            if self._alive(handle):
                try:
                    os.kill(_process(handle).pid, number)
                except ProcessLookupError:
                    continue  # it ended between the two lines


def _process(handle: Handle) -> Process:
    return Process.model_validate(handle.details)
