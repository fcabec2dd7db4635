"""The state of a run, from the files in its directory.

Read by plans, workers and the command line; writes nothing.
"""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict

from tausweep.storage.attempts.claims import history_of, lost
from tausweep.storage.attempts.liveness import Watch, is_live
from tausweep.storage.attempts.records import (
    Failure,
    RunState,
    last_attempt,
    own_claim,
)
from tausweep.storage.attempts.retries import lost_in_a_row, seconds_to_wait
from tausweep.storage.layout import RunDirectory


class RunStatus(BaseModel):
    """What the files say about a run.

    Attributes:
        state: see `RunState`; the caller that knows the jobs adds `submitted`. A run that lost its worker and
            will be retried automatically is pending.
        attempt: number of the newest attempt, 0 if none.
        tau: last known step; steps_per_second: from the newest heartbeat.
        failure, error: set for a failed run, and for one that lost its worker.
        retry_in: seconds until a run that lost its worker may begin again; None for all others.
        scheduler_state: the scheduler's own state of the newest attempt's job, such as TIMEOUT. The caller
            that knows the jobs replaces it by that of the job that has the run now, such as `PENDING
            (Resources)`.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    state: RunState
    attempt: int = 0
    tau: int = 0
    steps_per_second: float | None = None
    failure: Failure | None = None
    error: str | None = None
    retry_in: float | None = None
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    job_id: str | None = None
    scheduler_state: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether the run will begin without another request, now or later."""
        return self.state in ("pending", "submitted", "preempted")

    @property
    def claimable(self) -> bool:
        """Whether a worker may take the run now."""
        return self.waiting and not self.retry_in


def run_status(run: RunDirectory, watch: Watch | None = None) -> RunStatus:
    """Read the state of a run; writes nothing.

    Args:
        run: the run directory.
        watch: what the caller has seen of the run's heartbeat; without it the heartbeat's date is trusted.
    """
    record = last_attempt(run)
    cancelled = run.cancel.exists()
    if record is None:
        return RunStatus(run_id=run.run_id, state="cancelled" if cancelled else "pending")
    live = is_live(run, record) if watch is None else watch.alive(run, record) is not False
    claim = own_claim(run, record) if live else None
    if record.state == "running" and not live:
        latest = last_attempt(run)  # it may have ended between the two reads
        record = lost(run, record) if latest == record else (latest or record)
    state: RunState = record.state
    history = history_of(run, record)
    wait = None if state in ("running", "succeeded") else seconds_to_wait(history, time.time())
    if cancelled and state not in ("succeeded", "running"):
        state = "cancelled"
    elif wait is not None and state != "preempted":
        state = "pending"
    shown = state == "failed" or (state == "pending" and not record.retry)
    error = record.error
    if state == "failed" and record.failure == "lost_worker":
        lost_tries = lost_in_a_row(history)
        error = f"{error}. {lost_tries} attempts were lost in a row without progress, as many as max_attempts allows"
    return RunStatus(
        run_id=run.run_id,
        state=state,
        attempt=record.attempt,
        tau=(claim.tau if claim else 0) or record.tau or record.resumed_from_tau or 0,
        steps_per_second=claim.steps_per_second if claim else None,
        failure=record.failure if shown else None,
        error=error if shown else None,
        retry_in=wait if state == "pending" and not record.retry else None,
        started=record.started,
        ended=record.ended,
        host=record.process.host,
        job_id=record.job_id,
        scheduler_state=record.scheduler_state,
    )
