"""Queries to SLURM: which jobs exist, how past jobs ended, and the site's limits.

Each query is batched. Answers are kept for a while, and queries become less frequent if none comes. A missing
answer is `None`, which changes no state anywhere (docs/slurm.md).
"""

from __future__ import annotations

import getpass
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tausweep.storage.errors import InputError, TausweepError

_TIMEOUT_SECONDS = 60.0
_KEPT_SECONDS = 20.0  # how long an answer is kept; thousands of users query the same scheduler
_LONGEST_SILENCE_SECONDS = 600.0
_CLOCKS_DIFFER_SECONDS = 5.0  # between the machines from which one user submits and queries
_IDS_A_QUESTION = 500

calls: dict[str, int] = {}
"""How often each of SLURM's commands was called by this process."""


def ask(*command: str, timeout: float = _TIMEOUT_SECONDS) -> str:
    """Run one of SLURM's commands.

    Returns:
        Its output.

    Raises:
        TausweepError: it is not installed, failed or did not answer; the message quotes it.
    """
    calls[command[0]] = calls.get(command[0], 0) + 1
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except FileNotFoundError as error:
        raise InputError(
            f"--executor slurm: no command {command[0]}; is this a machine that submits to SLURM?"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TausweepError(f"{command[0]}: SLURM did not answer within {timeout:.0f} s") from error
    if done.returncode:
        raise TausweepError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


_OVER = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
"""States that a job stays in. A word that is not known here is taken for a job that lives: it is not given again."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """SLURM's own state of a job: `RUNNING`, or `PENDING` and why."""

    state: str
    reason: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the job waits or runs."""
        return self.state not in _OVER

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else self.state


class Queue:
    """The controller's view of all jobs of a user, by one query.

    The controller forgets jobs some minutes after their end (MinJobAge). Times are seconds since 1970-01-01
    UTC.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, dict[str, JobState]]] = {}
        self._asked: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def jobs(self, user: str) -> dict[str, JobState] | None:
        """Id → state of a user's jobs, with array tasks one by one; None if SLURM does not answer."""
        answer = self._ask(user)
        return None if answer is None else answer[1]

    def alive(self, user: str, job: str, submitted: float) -> bool | None:
        """Whether a job waits or runs; None if SLURM does not answer, or the answer is older than the job."""
        answer = self._ask(user)
        if answer is None:
            return None
        asked_at, jobs = answer
        if job in jobs:
            return jobs[job].alive
        return None if asked_at < submitted + _CLOCKS_DIFFER_SECONDS else False

    def forget(self) -> None:
        """Discard the cached answer, because jobs were submitted or cancelled."""
        self._asked.clear()

    def _ask(self, user: str) -> tuple[float, dict[str, JobState]] | None:
        silent = self._silent.get(user, 0)
        pause = min(_KEPT_SECONDS * 2**silent, _LONGEST_SILENCE_SECONDS)
        if user in self._asked and self._clock() - self._asked[user] < pause:
            return self._answers.get(user)
        self._asked[user] = self._clock()
        try:
            output = ask(
                "squeue", "--noheader", "--array", "--states=all", f"--user={user}", "--format=%i|%T|%r"
            )
        except TausweepError:
            self._silent[user] = silent + 1
            self._answers.pop(user, None)
            return None
        self._silent[user] = 0
        self._answers[user] = self._asked[user], _parse_queue(output)
        return self._answers[user]


def _parse_queue(text: str) -> dict[str, JobState]:
    jobs = {}
    for line in text.splitlines():
        job, state, reason = (part.strip() for part in line.split("|", 2))
        why = reason if state == "PENDING" and reason not in ("None", "") else None
        jobs[job] = JobState(state=state, reason=why)
    return jobs


def ended(ids: Iterable[str]) -> dict[str, JobState]:
    """How jobs that have left the queue ended, according to accounting.

    Empty where there is no accounting.
    """
    wanted = sorted(set(ids))
    states: dict[str, JobState] = {}
    for start in range(0, len(wanted), _IDS_A_QUESTION):
        some = ",".join(wanted[start : start + _IDS_A_QUESTION])
        try:
            output = ask(
                "sacct",
                "--allocations",
                "--noheader",
                "--parsable2",
                f"--jobs={some}",
                "--format=JobID,State",
            )
        except TausweepError:  # accounting is off at many sites; our own records have what matters
            return states
        for line in output.splitlines():
            job, _, state = line.partition("|")
            states[job] = JobState(state=state.split(" ")[0])  # CANCELLED by 1234
    return states


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The site's limits for this user.

    Attributes:
        array_tasks: tasks of an array; MaxArraySize bounds their index.
        jobs: jobs that may still be submitted now, array tasks counted one by one; None if there is no limit,
            or it is unknown.
    """

    array_tasks: int
    jobs: int | None


_FIELD = re.compile(r"(?P<name>\w+)=(?P<limit>N|\d+)?\((?P<used>\d+)\)")


def limits(account: str | None = None, qos: str | None = None) -> Limits:
    """Query the limits that concern a submission.

    Raises:
        TausweepError: the controller does not answer.
    """
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    array_tasks = int(match[1]) if match else 1001
    user = getpass.getuser()
    try:
        output = ask("scontrol", "show", "assoc_mgr", f"users={user}", "flags=assoc,qos")
    except TausweepError:  # no accounting, or closed to users: sbatch will tell
        return Limits(array_tasks=max(1, array_tasks), jobs=None)
    return Limits(array_tasks=max(1, array_tasks), jobs=_room(output, user, account, qos))


def _room(text: str, user: str, account: str | None, qos: str | None) -> int | None:
    """The smallest number of jobs that the user's associations and QOS leave free."""
    rooms = []
    for block in re.split(r"\n(?=ClusterName=|QOS=)", text):
        head = block.split("\n", 1)[0]
        if head.startswith("ClusterName="):
            if f"UserName={user}(" not in head or (account and f"Account={account} " not in head):
                continue
        elif not head.startswith(f"QOS={qos}("):
            continue
        for match in _FIELD.finditer(block):
            if match["name"] in ("MaxSubmitJobs", "GrpSubmitJobs") and match["limit"] not in (None, "N"):
                rooms.append(int(match["limit"]) - int(match["used"]))
    # Without an account, SLURM uses the default one, which may be any of these.
    return max(0, min(rooms)) if rooms else None
