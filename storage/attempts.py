"""Attempts, claims and the state of a run, all read from files.

One writer a run: an attempt is begun by making `attempts/<k>.json`, which of many racing workers exactly one can do.
The `claim` beside it carries the heartbeat. An attempt whose heartbeat stopped may be followed by attempt k + 1; the
existence of that file is the fence that keeps the older writer from publishing any more. The scheduler is not asked:
truth is on disk.
"""

from __future__ import annotations

import os
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from storage.atomic import write_new_record, write_record
from storage.attempt_records import (
    AttemptRecord,
    Claim,
    Failure,
    Process,
    RetryPolicy,
    RunState,
    last_attempt,
    own_claim,
    read_attempt,
    write_attempt,
)
from storage.errors import ClaimLostError
from storage.layout import RunDirectory
from storage.liveness import Watch, is_live, last_heard
from storage.retries import lost_in_a_row, seconds_to_wait


def beat(run: RunDirectory, claim: Claim) -> None:
    """Publish a heartbeat.

    Raises:
        ClaimLostError: a higher attempt exists.
    """
    require_ownership(run, claim.attempt)
    write_record(run.claim, claim.model_dump(mode="json"))


def require_ownership(run: RunDirectory, attempt: int) -> None:
    """The fence: to be called before anything is published.

    Raises:
        ClaimLostError: a higher attempt has begun, this one must stop.
    """
    if run.attempt(attempt + 1).exists():
        raise ClaimLostError(f"run {run.run_id}: attempt {attempt + 1} has taken over from attempt {attempt}")


def begin_attempt(
    run: RunDirectory,
    *,
    job_id: str | None,
    provenance: dict[str, Any],
    watch: Watch | None = None,
    retries: RetryPolicy | None = None,
) -> AttemptRecord | None:
    """Claim a run for this process.

    Args:
        run: the run directory.
        job_id: the submission this process belongs to.
        provenance: code version, packages and hardware.
        watch: what the caller has seen of the run's heartbeat; without it only an attempt whose process is known to
            be dead is followed by another.
        retries: what is allowed if this process gets lost.

    Returns:
        The new attempt's record; None if another process executes the run, was faster or has taken it over already,
        or if the run has ended and may not be begun by itself, or not yet.
    """
    previous = last_attempt(run)
    if previous is not None:
        ended = previous
        if previous.state == "running":
            if (watch or Watch()).alive(run, previous) is not False:
                return None
            ended = lost(run, previous)
        if seconds_to_wait(_history(run, ended), time.time()) != 0 or last_attempt(run) != previous:
            return None
    record = AttemptRecord(
        attempt=(previous.attempt if previous else 0) + 1,
        started=time.time(),
        process=Process.of(os.getpid()),
        job_id=job_id,
        retries=retries or RetryPolicy(),
        provenance=provenance,
    )
    if not write_new_record(run.attempt(record.attempt), record.model_dump(mode="json")):
        return None
    if previous is not None and ended != previous:
        # Read again: until the new record was there, the older attempt may have written where it resumed, or its end.
        latest = read_attempt(run, previous.attempt)
        if latest.state == "running":
            write_attempt(run, lost(run, latest))
    try:
        beat(run, Claim(attempt=record.attempt, process=record.process))
    except ClaimLostError:  # this process slept for longer than the lease in between
        return None
    return record


def _history(run: RunDirectory, last: AttemptRecord) -> list[AttemptRecord]:
    """As many of the run's attempts as the rule for retries has to see, up to a given one."""
    if last.failure != "lost_worker" or last.retry:
        return [last]
    return [*(read_attempt(run, k) for k in run.attempt_numbers() if k < last.attempt), last]


def lost(run: RunDirectory, record: AttemptRecord) -> AttemptRecord:
    """The record of an attempt whose process is gone without a word of its own; it ended with its last heartbeat."""
    claim, heard = own_claim(run, record), last_heard(run, record)
    where = f"{record.process.host}, pid {record.process.pid}"
    return record.model_copy(
        update={
            "state": "failed",
            "ended": record.started if heard is None else max(heard, record.started),
            "tau": claim.tau if claim and claim.tau else record.tau,
            "failure": "lost_worker",
            "error": f"the worker ({where}) ended without a word: killed, out of memory, or its machine lost",
        }
    )


def settle(run: RunDirectory, watch: Watch, *, stopped: bool = False) -> bool:
    """Write the end of an attempt whose worker is gone; leaves all others alone.

    Args:
        run: the run directory.
        watch: what the caller has seen of the run's heartbeat.
        stopped: the caller killed the worker, because it was told to stop: the run is preempted and has not failed.

    Returns:
        False if it is not known yet whether the worker is gone: look again.
    """
    record = last_attempt(run)
    if record is None:
        return True
    if record.state != "running":
        if own_claim(run, record):  # killed between its last word and giving the claim back
            run.claim.unlink(missing_ok=True)
        return True
    alive = watch.alive(run, record)
    if alive is False:
        end = lost(run, record)
        if stopped:
            end = end.model_copy(update={"state": "preempted", "failure": None, "error": None})
        if last_attempt(run) == record:  # it may have ended between the two looks
            write_attempt(run, end)
            run.claim.unlink(missing_ok=True)
    return alive is not None


def end_attempt(run: RunDirectory, record: AttemptRecord) -> None:
    """Write an attempt's final record and give the claim back.

    Raises:
        ClaimLostError: a higher attempt exists; nothing is written.
    """
    require_ownership(run, record.attempt)
    write_attempt(run, record)
    if own_claim(run, record):
        run.claim.unlink(missing_ok=True)


class RunStatus(BaseModel):
    """What the files say of a run.

    Attributes:
        state: see `RunState`; `submitted` is added by who knows the jobs. A run that lost its worker and will be
            begun again by itself is pending.
        attempt: number of the newest attempt, 0 if none.
        tau: last step known; steps_per_second: from the newest heartbeat.
        failure, error: of a failed run, and of one that lost its worker.
        retry_in: seconds until a run that lost its worker may be begun again; None for all others.
        scheduler_state: the scheduler's own word on the newest attempt's job, such as TIMEOUT; on the job that has the
            run now, such as `PENDING (Resources)`, from who knows the jobs.
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
        """Whether the run will be begun without anybody asking for it again, now or after a while."""
        return self.state in ("pending", "submitted", "preempted")

    @property
    def claimable(self) -> bool:
        """Whether a worker may take the run now."""
        return self.waiting and not self.retry_in


def run_status(run: RunDirectory, watch: Watch | None = None) -> RunStatus:
    """Read the state of a run; writes nothing.

    Args:
        run: the run directory.
        watch: what the caller has seen of the run's heartbeat; without it the heartbeat's date is believed.
    """
    record = last_attempt(run)
    cancelled = run.cancel.exists()
    if record is None:
        return RunStatus(run_id=run.run_id, state="cancelled" if cancelled else "pending")
    live = is_live(run, record) if watch is None else watch.alive(run, record) is not False
    claim = own_claim(run, record) if live else None
    if record.state == "running" and not live:
        latest = last_attempt(run)  # it may have ended between the two looks
        record = lost(run, record) if latest == record else (latest or record)
    state: RunState = record.state
    history = _history(run, record)
    wait = None if state in ("running", "succeeded") else seconds_to_wait(history, time.time())
    if cancelled and state not in ("succeeded", "running"):
        state = "cancelled"
    elif wait is not None and state != "preempted":
        state = "pending"
    told = state == "failed" or (state == "pending" and not record.retry)
    error = record.error
    if state == "failed" and record.failure == "lost_worker":
        lost_tries = lost_in_a_row(history)
        error = f"{error}. Lost in a row without getting further: {lost_tries}, all that max_attempts allows"
    return RunStatus(
        run_id=run.run_id,
        state=state,
        attempt=record.attempt,
        tau=(claim.tau if claim else 0) or record.tau or record.resumed_from_tau or 0,
        steps_per_second=claim.steps_per_second if claim else None,
        failure=record.failure if told else None,
        error=error if told else None,
        retry_in=wait if state == "pending" and not record.retry else None,
        started=record.started,
        ended=record.ended,
        host=record.process.host,
        job_id=record.job_id,
        scheduler_state=record.scheduler_state,
    )
