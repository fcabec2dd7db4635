"""Records of the executions of a run: attempt records and the claim, as values and as files.

Used by all modules that begin, end, watch or list attempts, such as `storage.attempts.claims`. Decides
nothing.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tausweep.storage.errors import SchemaError
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import RunDirectory

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
Failure = Literal["error", "not_finite", "out_of_memory", "bad_data", "lost_worker"]

M = TypeVar("M", bound=BaseModel)


class Process(BaseModel):
    """A process, identified so that another process can tell whether it is alive.

    `started` guards against reused pids; `namespace` distinguishes containers with the same host name.
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
        """Whether this machine can see the process at all. If not, it must not judge it."""
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


class RetryPolicy(BaseModel):
    """How often a run that loses its workers is retried automatically (see `storage.attempts.retries`).

    Attributes:
        max_attempts: number of attempts lost in a row without progress after which the run has failed.
        retry_seconds: wait after the first loss, in seconds; doubled after each further one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: int = 3
    retry_seconds: float = 10.0


class AttemptRecord(BaseModel):
    """One execution of a run: `attempts/<k>.json`. Written before step 0, and again at the end.

    Attributes:
        attempt: number, from 1.
        state: running until the attempt ends, or until another process declares it lost.
        started, ended: seconds since 1970-01-01 UTC.
        process: the process that executes it.
        job_id: the submission it belongs to, if any.
        resumed_from_tau: tau of the checkpoint it continues; 0 from scratch; None until that is known.
        tau: last optimiser update done, once ended.
        failure: class of the failure; error: its message; traceback: the end of the traceback.
        retry: True if the attempt failed or was cancelled and the user asked to run it again.
        retries: the retry policy if its worker is lost.
        damaged_checkpoints: steps whose checkpoints could not be used when it began.
        saving_seconds: time spent on saving checkpoints, once ended; None if unknown.
        scheduler_state: the scheduler's own state of the job, where there is a scheduler.
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
    retries: RetryPolicy = RetryPolicy()
    damaged_checkpoints: tuple[int, ...] = ()
    saving_seconds: float | None = None
    scheduler_state: str | None = None
    provenance: dict[str, Any] = {}


class Claim(BaseModel):
    """The heartbeat of the running attempt: the file `claim`.

    `beats` counts the heartbeats. Its change tells a watcher that the attempt is alive, whatever the clocks
    say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: int
    process: Process
    beats: int = 0
    tau: int = 0
    steps_per_second: float | None = None


def load(model: type[M], path: Path) -> M:
    """Read a record as a value.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `read_record`; or a field is wrong.
    """
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
    return load(AttemptRecord, run.attempt(number))


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
        return load(Claim, run.claim)
    except FileNotFoundError:
        return None


def own_claim(run: RunDirectory, record: AttemptRecord) -> Claim | None:
    """The newest heartbeat of this attempt, None if there is none."""
    claim = read_claim(run)
    return claim if claim is not None and claim.attempt == record.attempt else None
