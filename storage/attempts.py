"""Attempts, claims and the state of a run, all read from files.

One writer a run: an attempt is begun by making `attempts/<k>.json`, which of many racing workers exactly one can do.
The `claim` beside it carries the heartbeat. An attempt whose heartbeat stopped may be followed by attempt k + 1; the
existence of that file is the fence that keeps the older writer from publishing any more. The scheduler is not asked:
truth is on disk.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import read_record, write_new_record, write_record
from storage.errors import ClaimLostError, SchemaError
from storage.layout import RunDirectory

RunState = Literal["pending", "submitted", "running", "succeeded", "failed", "cancelled", "preempted"]
STATES: tuple[RunState, ...] = (
    "pending",
    "submitted",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "preempted",
)
_ENDED: tuple[RunState, ...] = ("succeeded", "failed", "cancelled")
Failure = Literal["error", "not_finite", "out_of_memory", "bad_data", "lost_worker"]

M = TypeVar("M", bound=BaseModel)

LEASE_SECONDS = 60.0
"""An attempt without a heartbeat for so long is taken for dead; heartbeats come several times as often."""


class Process(BaseModel):
    """A process, such that another process can tell whether it still lives.

    `started` guards against a pid that was given anew; `namespace` tells containers of one host name apart.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: float
    namespace: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """Describe a live process of this machine."""
        return cls(
            host=socket.gethostname(),
            pid=pid,
            started=psutil.Process(pid).create_time(),
            namespace=_pid_namespace(),
        )

    def visible(self) -> bool:
        """Whether this machine can see the process at all; what it can't see it must not judge."""
        return self.host == socket.gethostname() and self.namespace == _pid_namespace()

    def alive(self) -> bool:
        """Whether the process exists (only meaningful where it is visible)."""
        try:
            process = psutil.Process(self.pid)
            # Create times are derived from the boot time and may differ by a clock correction.
            return abs(process.create_time() - self.started) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _pid_namespace() -> str:
    link = Path("/proc/self/ns/pid")
    return str(link.readlink()) if link.is_symlink() else ""


class AttemptRecord(BaseModel):
    """One execution of a run: `attempts/<k>.json`. Written before step 0, and again at the end.

    Attributes:
        attempt: number, from 1.
        state: running until the attempt's own end, or until another process finds it lost.
        started, ended: seconds since 1970-01-01 UTC.
        process: who executes it.
        job_id: the submission it belongs to, if any.
        resumed_from_tau: tau of the checkpoint it continues; 0 from scratch; None until that is known.
        tau: last optimiser update done, once ended.
        failure: class of the failure; error: its message; traceback: the end of the traceback.
        retry: a failed or cancelled attempt that the user asked to run again.
        scheduler_state: the scheduler's own word, where one was asked.
        provenance: code version, packages and hardware.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: int
    state: RunState = "running"
    started: float
    ended: float | None = None
    process: Process
    job_id: str | None = None
    resumed_from_tau: int | None = None
    tau: int | None = None
    failure: Failure | None = None
    error: str | None = None
    traceback: str | None = None
    retry: bool = False
    scheduler_state: str | None = None
    provenance: dict[str, Any] = {}


class Claim(BaseModel):
    """The heartbeat of the attempt that runs now: the file `claim`; its age is its modification time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: int
    process: Process
    tau: int = 0
    steps_per_second: float | None = None


def _load(model: type[M], path: Path) -> M:
    record = read_record(path)
    try:
        return model.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        raise SchemaError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def read_attempt(run: RunDirectory, number: int) -> AttemptRecord:
    """Read the record of one attempt.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `read_record`.
    """
    return _load(AttemptRecord, run.attempt(number))


def last_attempt(run: RunDirectory) -> AttemptRecord | None:
    """The newest attempt, None if the run was never started."""
    numbers = run.attempt_numbers()
    return read_attempt(run, numbers[-1]) if numbers else None


def write_attempt(run: RunDirectory, record: AttemptRecord) -> None:
    """Replace the record of an attempt."""
    write_record(run.attempt(record.attempt), record.model_dump(mode="json"))


def read_claim(run: RunDirectory) -> Claim | None:
    """The newest heartbeat, None if nobody has claimed the run."""
    try:
        return _load(Claim, run.claim)
    except FileNotFoundError:
        return None


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


def _own_claim(run: RunDirectory, record: AttemptRecord) -> Claim | None:
    claim = read_claim(run)
    return claim if claim is not None and claim.attempt == record.attempt else None


def is_live(run: RunDirectory, record: AttemptRecord, *, now: float | None = None) -> bool:
    """Whether an attempt is being executed: running, heard of within the lease, and not known to be dead."""
    if record.state != "running":
        return False
    if record.process.visible() and not record.process.alive():
        return False
    # Between the record and the first heartbeat the record's own date counts.
    sign = run.claim if _own_claim(run, record) else run.attempt(record.attempt)
    try:
        heard = sign.stat().st_mtime
    except FileNotFoundError:  # the attempt has ended meanwhile and taken its claim away
        return False
    return (time.time() if now is None else now) - heard < LEASE_SECONDS


def begin_attempt(
    run: RunDirectory, *, job_id: str | None, provenance: dict[str, Any]
) -> AttemptRecord | None:
    """Claim a run for this process.

    Returns:
        The new attempt's record; None if another process executes the run, was faster or has taken it over already,
        or if the run has ended and nobody asked for it again.
    """
    previous = last_attempt(run)
    if previous is not None and (is_live(run, previous) or last_attempt(run) != previous):
        return None  # executed by another process, or changed by it between the two looks
    if previous is not None and previous.state in _ENDED and not previous.retry:
        return None  # another process has finished it since the caller looked
    record = AttemptRecord(
        attempt=(previous.attempt if previous else 0) + 1,
        started=time.time(),
        process=Process.of(os.getpid()),
        job_id=job_id,
        provenance=provenance,
    )
    if not write_new_record(run.attempt(record.attempt), record.model_dump(mode="json")):
        return None
    if previous is not None and previous.state == "running":
        write_attempt(run, lost(previous))
    try:
        beat(run, Claim(attempt=record.attempt, process=record.process))
    except ClaimLostError:  # this process slept for longer than the lease in between
        return None
    return record


def lost(record: AttemptRecord) -> AttemptRecord:
    """The record of an attempt whose process is gone without a word of its own."""
    where = f"{record.process.host}, pid {record.process.pid}"
    return record.model_copy(
        update={
            "state": "failed",
            "ended": time.time(),
            "failure": "lost_worker",
            "error": f"the worker ({where}) ended without a word: killed, out of memory, or its machine lost",
        }
    )


def end_attempt(run: RunDirectory, record: AttemptRecord) -> None:
    """Write an attempt's final record and give the claim back.

    Raises:
        ClaimLostError: a higher attempt exists; nothing is written.
    """
    require_ownership(run, record.attempt)
    write_attempt(run, record)
    if _own_claim(run, record):
        run.claim.unlink(missing_ok=True)


class RunStatus(BaseModel):
    """What the files say of a run.

    Attributes:
        state: see `RunState`; `submitted` is added by who knows the jobs.
        attempt: number of the newest attempt, 0 if none.
        tau: last step known; steps_per_second: from the newest heartbeat.
        failure, error: of a failed run. A running attempt without heartbeat is a failed one, `lost_worker`.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    state: RunState
    attempt: int = 0
    tau: int = 0
    steps_per_second: float | None = None
    failure: Failure | None = None
    error: str | None = None
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    job_id: str | None = None

    @property
    def claimable(self) -> bool:
        """Whether a worker may take the run without anybody asking for it again."""
        return self.state in ("pending", "submitted", "preempted")


def run_status(run: RunDirectory) -> RunStatus:
    """Read the state of a run; writes nothing."""
    record = last_attempt(run)
    cancelled = run.cancel.exists()
    if record is None:
        return RunStatus(run_id=run.run_id, state="cancelled" if cancelled else "pending")
    live = is_live(run, record)
    claim = _own_claim(run, record) if live else None
    tau = claim.tau if claim is not None else record.tau
    if record.state == "running" and not live:
        latest = last_attempt(run)  # it may have ended between the two looks
        record = lost(record) if latest == record else (latest or record)
    state: RunState = record.state
    if cancelled and state not in ("succeeded", "running"):
        state = "cancelled"
    elif record.retry:
        state = "pending"
    return RunStatus(
        run_id=run.run_id,
        state=state,
        attempt=record.attempt,
        tau=tau or record.tau or record.resumed_from_tau or 0,
        steps_per_second=claim.steps_per_second if claim else None,
        failure=record.failure if state == "failed" else None,
        error=record.error if state == "failed" else None,
        started=record.started,
        ended=record.ended,
        host=record.process.host,
        job_id=record.job_id,
    )
