"""The local executor: each job is a worker process in its own session, with its output in the job's log.

Where it is safe, workers are forked from one process that has loaded torch (docs/adr/0013). A worker ends
with the process that submitted it, so an interrupted terminal leaves no training behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO

from tausweep.orchestrator.executors.base import Handle, JobRequest, main_arguments, worker_arguments
from tausweep.orchestrator.executors.forked_workers import (
    CannotForkError,
    ForkedWorker,
    ForkServer,
    require_forkable,
)
from tausweep.storage.attempts.records import Process
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.local_copies import local_log

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_Worker = subprocess.Popen[bytes] | ForkedWorker


class LocalExecutor:
    """Worker processes of this machine, forked where possible and otherwise started one by one.

    Close it when no more jobs are submitted; running workers then stop with a checkpoint.
    """

    name = "local"
    supervised = True

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self._servers: dict[int, ForkServer] = {}
        """By the threads of their workers, which libraries learn when they are loaded."""
        self._not_forking: str | None = None

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        """Start a process for each job. The first waits some seconds for torch to load."""
        return [self._start(request) for request in requests]

    def _start(self, request: JobRequest) -> Handle:
        try:
            with local_log(request.layout.job_log(request.job_id)).open("ab") as log:
                worker, process = self._launch(request, log)
        except OSError as error:
            raise TausweepError(f"job {request.job_id}: the worker cannot be started ({error})") from error
        self._workers[request.job_id] = worker
        return Handle(executor=self.name, job_id=request.job_id, details=process.model_dump(mode="json"))

    def _launch(self, request: JobRequest, log: BinaryIO) -> tuple[_Worker, Process]:
        environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(request.resources.threads))
        if self._not_forking is None:
            try:
                forked = self._fork(request, environment, log)
            except CannotForkError as reason:
                self._not_forking = str(reason)
            else:
                return forked, forked.process
        log.write(f"workers are not forked; each loads torch on its own: {self._not_forking}\n".encode())
        log.flush()
        fresh = subprocess.Popen(
            [sys.executable, *worker_arguments(request, parent=os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only this process, which signals the workers
        )
        return fresh, Process.of(fresh.pid)

    def _fork(self, request: JobRequest, environment: dict[str, str], log: BinaryIO) -> ForkedWorker:
        require_forkable(environment)
        threads = request.resources.threads
        server = self._servers.get(threads)
        if server is not None:
            try:
                return server.fork(main_arguments(request, parent=server.pid), log)
            except CannotForkError:
                if not server.gone:
                    raise
                server.close()  # it was killed: its workers are stopping
        server = self._servers[threads] = ForkServer(environment, log)
        return server.fork(main_arguments(request, parent=server.pid), log)

    def wait(self, seconds: float) -> None:
        """Return when a forked worker ends, or after so many seconds."""
        live = [server for server in self._servers.values() if not server.gone]
        if live:
            live[0].wait(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """End the processes that fork workers."""
        for server in self._servers.values():
            server.close()
        self._servers = {}

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        """Whether each process exists; None for a process on another machine."""
        return [self._alive(handle) for handle in handles]

    def _alive(self, handle: Handle) -> bool | None:
        worker = self._workers.get(handle.job_id)
        if worker is not None:
            return worker.poll() is None
        process = _process(handle)
        return process.alive() if process.visible() else None

    def job_name(self, handle: Handle) -> str:
        """The pid of its process."""
        return str(_process(handle).pid)

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        """None for each job: there is no scheduler."""
        return [None] * len(handles)

    def exit_code(self, handle: Handle) -> int | None:
        """Exit code of a job that this object started, negative for a signal; None while it runs."""
        return self._workers[handle.job_id].poll()

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Send SIGTERM: the worker saves a checkpoint and ends."""
        self._signal(handles, signal.SIGTERM)

    def kill(self, handles: Sequence[Handle]) -> None:
        """Send SIGKILL, for users who do not want to wait."""
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
