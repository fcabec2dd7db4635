"""Attempts, claims and the state of a run, all read from files.

One writer per run: an attempt begins by creating `attempts/<k>.json`, in which exactly one of many racing
workers succeeds. The `claim` beside it carries the heartbeat. An attempt whose heartbeat has stopped may be
followed by attempt k + 1. The existence of that file is the fence that keeps the older writer from
publishing. The scheduler is not asked: the truth is on disk.
"""

from __future__ import annotations

import os
import time
from typing import Any

from tausweep.storage.attempts.liveness import Watch, last_heard
from tausweep.storage.attempts.records import (
    AttemptRecord,
    Claim,
    Process,
    RetryPolicy,
    last_attempt,
    own_claim,
    read_attempt,
    write_attempt,
)
from tausweep.storage.attempts.retries import seconds_to_wait
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.files.records import write_new_record, write_record
from tausweep.storage.layout import RunDirectory


def beat(run: RunDirectory, claim: Claim) -> None:
    """Publish a heartbeat.

    Raises:
        ClaimLostError: a higher attempt exists.
    """
    require_ownership(run, claim.attempt)
    write_record(run.claim, claim.model_dump(mode="json"))


def require_ownership(run: RunDirectory, attempt: int) -> None:
    """Check the fence; call it before every publication.

    Raises:
        ClaimLostError: a higher attempt has begun, so this one must stop.
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
        watch: what the caller has seen of the run's heartbeat; without it a new attempt begins only if the
            process of the last one is known to be dead.
        retries: the retry policy if this process is lost.

    Returns:
        The new attempt's record; None if another process executes the run, was faster or has taken it over,
        or if the run has ended and must not be retried automatically, or not yet.
    """
    previous = last_attempt(run)
    if previous is not None:
        ended = previous
        if previous.state == "running":
            if (watch or Watch()).alive(run, previous) is not False:
                return None
            ended = lost(run, previous)
        if seconds_to_wait(history_of(run, ended), time.time()) != 0 or last_attempt(run) != previous:
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
        # Read again: until the new record existed, the older attempt may have written where it resumed, or
        # its end.
        latest = read_attempt(run, previous.attempt)
        if latest.state == "running":
            write_attempt(run, lost(run, latest))
    try:
        beat(run, Claim(attempt=record.attempt, process=record.process))
    except ClaimLostError:  # this process slept for longer than the lease in between
        return None
    return record


def history_of(run: RunDirectory, last: AttemptRecord) -> list[AttemptRecord]:
    """The attempts, up to a given one, that the retry rule has to see."""
    if last.failure != "lost_worker" or last.retry:
        return [last]
    return [*(read_attempt(run, k) for k in run.attempt_numbers() if k < last.attempt), last]


def lost(run: RunDirectory, record: AttemptRecord) -> AttemptRecord:
    """The final record of an attempt whose process vanished; it ended with its last heartbeat."""
    claim, heard = own_claim(run, record), last_heard(run, record)
    where = f"{record.process.host}, pid {record.process.pid}"
    return record.model_copy(
        update={
            "state": "failed",
            "ended": record.started if heard is None else max(heard, record.started),
            "tau": claim.tau if claim and claim.tau else record.tau,
            "failure": "lost_worker",
            "error": f"the worker ({where}) vanished: killed, out of memory, or its machine was lost",
        }
    )


def settle(run: RunDirectory, watch: Watch, *, stopped: bool = False) -> bool:
    """Write the final record of an attempt whose worker is gone; leave all others alone.

    Args:
        run: the run directory.
        watch: what the caller has seen of the run's heartbeat.
        stopped: the caller killed the worker because it was asked to stop: the run is preempted, not failed.

    Returns:
        False if it is not yet known whether the worker is gone: look again.
    """
    record = last_attempt(run)
    if record is None:
        return True
    if record.state != "running":
        if own_claim(run, record):  # killed between its final record and releasing the claim
            run.claim.unlink(missing_ok=True)
        return True
    alive = watch.alive(run, record)
    if alive is False:
        end = lost(run, record)
        if stopped:
            end = end.model_copy(update={"state": "preempted", "failure": None, "error": None})
        if last_attempt(run) == record:  # it may have ended between the two reads
            write_attempt(run, end)
            run.claim.unlink(missing_ok=True)
    return alive is not None


def end_attempt(run: RunDirectory, record: AttemptRecord) -> None:
    """Write an attempt's final record and release the claim.

    Raises:
        ClaimLostError: a higher attempt exists; nothing is written.
    """
    require_ownership(run, record.attempt)
    write_attempt(run, record)
    if own_claim(run, record):
        run.claim.unlink(missing_ok=True)
