"""Whether an attempt is being executed.

`is_live` looks once, at the date of the heartbeat. That is good enough for display, and wrong where clocks
differ. `Watch` looks repeatedly for a change of the heartbeat and needs only its own clock. Use it to follow
an attempt or to write its end (docs/adr/0006). Called by `storage.attempts.claims`, workers and the
orchestrator.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tausweep.storage.attempts.records import AttemptRecord, own_claim
from tausweep.storage.layout import RunDirectory

LEASE_SECONDS = 60.0
"""An attempt without a heartbeat for so long is taken for dead; heartbeats come several times as often."""

_LONGEST_LOOK_SECONDS = 10.0
"""What one look can add to the silence: whoever was itself paused in between has not listened all the time."""


def last_heard(run: RunDirectory, record: AttemptRecord) -> float | None:
    """Date of the attempt's newest sign of life by the clock of the file system.

    None if its claim has just been removed.
    """
    # Between the record and the first heartbeat the record's own date counts.
    sign = run.claim if own_claim(run, record) else run.attempt(record.attempt)
    try:
        return sign.stat().st_mtime
    except FileNotFoundError:  # the attempt has ended meanwhile and removed its claim
        return None


def _known_dead(record: AttemptRecord) -> bool:
    return record.state != "running" or (record.process.visible() and not record.process.alive())


def is_live(run: RunDirectory, record: AttemptRecord, *, now: float | None = None) -> bool:
    """Whether an attempt seems alive: state running, date within the lease, process not known to be dead."""
    if _known_dead(record):
        return False
    heard = last_heard(run, record)
    return heard is not None and (time.time() if now is None else now) - heard < LEASE_SECONDS


@dataclass
class _Heard:
    sign: tuple[int, int]  # attempt and number of the heartbeat
    looked: float
    silence: float = 0.0
    changed: bool = False


class Watch:
    """Distinguishes lost attempts from live ones by whether their heartbeats change while it watches.

    Ask it every few seconds. An answer other than None takes at least two looks, and "lost" takes a whole
    lease.
    """

    def __init__(self, *, lease: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to watch.

        Args:
            lease: seconds of silence after which an attempt is lost.
            clock: seconds since any origin, never set back.
        """
        self._lease, self._clock = lease, clock
        self._heard: dict[RunDirectory, _Heard] = {}

    def alive(self, run: RunDirectory, record: AttemptRecord) -> bool | None:
        """Whether an attempt is being executed.

        Returns:
            False if it has ended, its process is known to be dead, or it was silent for the lease. True if
            its heartbeat has changed. None if that is not yet known: look again.
        """
        if _known_dead(record):
            return False
        claim = own_claim(run, record)
        sign = (record.attempt, claim.beats if claim else -1)
        now = self._clock()
        heard = self._heard.get(run)
        if heard is None or heard.sign != sign:
            same_attempt = heard is not None and heard.sign[0] == record.attempt
            heard = self._heard[run] = _Heard(sign=sign, looked=now, changed=same_attempt)
        heard.silence += min(now - heard.looked, _LONGEST_LOOK_SECONDS)
        heard.looked = now
        if heard.silence >= self._lease:
            return False
        return True if heard.changed else None
