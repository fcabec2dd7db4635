"""Executes a prepared plan on this machine: starts workers, watches over them and settles what they leave behind.

The files decide what is done; a worker that dies costs the run it executed, and the sweep goes on with a new worker.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType

from tausweep.orchestrator.execution.run_states import POLL_SECONDS, Update, refresh, todo
from tausweep.orchestrator.execution.submission import submit_jobs
from tausweep.orchestrator.executors.base import Handle
from tausweep.orchestrator.executors.local import LocalExecutor
from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.storage.attempts.claims import settle
from tausweep.storage.attempts.jobs import end_job
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.local_copies import local_log
from tausweep.storage.files.object_store import is_object
from tausweep.storage.layout import StoreLayout
from tausweep.workers.stop import EXIT_REQUEUE

_POLL_OBJECTS_SECONDS = 15.0  # every look at a run is several requests there, and requests cost money
_GRACE_SECONDS = 60.0
_FRUITLESS_DEATHS = 3  # in a row, of workers that began no run: the fault is not a run's


def execute(plan: Plan, layout: StoreLayout, watch: Update) -> Plan:
    """Execute what is to do on this machine, and return when all of it is done.

    SIGINT and SIGTERM let the workers checkpoint and end; a second one kills them, and costs what came after their
    last checkpoints.

    Returns:
        The plan with its final states.

    Raises:
        KeyboardInterrupt: stopped by a signal, after the workers have ended.
        TausweepError: workers die before they begin a run.
    """
    plan = refresh(plan, layout)
    runs = todo(plan)
    if not runs:
        return plan
    between = _POLL_OBJECTS_SECONDS if is_object(layout.root) else POLL_SECONDS
    crew = _Crew(plan, layout, runs)
    with closing(crew.executor), _signals_as_flag() as signalled:
        crew.signalled = signalled
        crew.fill()
        looked = time.monotonic()
        while not signalled and crew.watch_over():
            crew.executor.wait(POLL_SECONDS)
            if time.monotonic() - looked >= between:  # less where a worker has ended, which is replaced first
                looked = time.monotonic()
                plan = refresh(plan, layout)
                watch(plan)
        if signalled:
            crew.dismiss(signalled)
            raise KeyboardInterrupt
    plan = refresh(plan, layout)
    watch(plan)
    return plan


class _Crew:
    """The workers of one `execute`: kept at their number while runs are left for them."""

    def __init__(self, plan: Plan, layout: StoreLayout, runs: Sequence[PlannedRun]) -> None:
        self.plan, self.layout = plan, layout
        self.runs = [layout.run(run.run_id) for run in runs]
        self.size = plan.resources.worker_count(len(runs))
        self.executor = LocalExecutor()
        self.handles: list[Handle] = []
        self.fruitless = 0
        self.signalled: Sequence[int] = ()

    def fill(self) -> None:
        """Start workers until the crew is complete, or a signal has come: the first start loads torch, some seconds."""
        while len(self.handles) < self.size and not self.signalled:
            ids = [run.run_id for run in self.runs]
            self.handles += submit_jobs(
                self.plan.sweep, self.layout, self.executor, [ids], self.plan.resources
            )

    def watch_over(self) -> bool:
        """Replace workers that died; False once all have ended of themselves."""
        for handle in list(self.handles):
            code = self.executor.exit_code(handle)
            if code is None:
                continue
            self.handles.remove(handle)
            end_job(self.layout, handle.job_id)
            begun = self._settle(handle)
            self.fruitless = 0 if begun else self.fruitless
            if code == 0:
                self.size -= 1  # nothing is left that it could take
            elif not begun and code != EXIT_REQUEUE:  # a budget may pass while others execute the runs
                self._count_fruitless(handle, code)
        if self.handles or any(run_status(run).waiting for run in self.runs):
            self.fill()
        return bool(self.handles)

    def _settle(self, handle: Handle) -> bool:
        """Write the ends of the attempts a dead worker left; says whether it had begun any."""
        begun = False
        for run in self.runs:
            record = last_attempt(run)
            if record is not None and record.job_id == handle.job_id:
                begun = True
                settle(run, Watch())
        return begun

    def _count_fruitless(self, handle: Handle, code: int) -> None:
        self.fruitless += 1
        if self.fruitless >= _FRUITLESS_DEATHS:
            self.executor.cancel(self.handles)
            log = local_log(self.layout.job_log(handle.job_id))
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise TausweepError(
                f"workers end with exit code {code} before they start a run; see {log}\n{tail}"
            )

    def dismiss(self, signalled: list[int]) -> None:
        """Let the workers checkpoint and end; kill them at a second signal or when it takes too long."""
        self.executor.cancel(self.handles)
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(self.executor.alive(self.handles)):
            if len(signalled) > 1 or time.monotonic() > deadline:
                self.executor.kill(self.handles)
            time.sleep(0.1)
        for handle in self.handles:
            end_job(self.layout, handle.job_id)
        for run in self.runs:
            settle(run, Watch(), stopped=True)


@contextmanager
def _signals_as_flag() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying by them."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
