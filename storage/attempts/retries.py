"""The one rule for whether, and when, a run is retried automatically.

A pure function of the run's attempt records, which also hold the sweep's retry policy, so workers,
orchestrators and `status` agree without communicating. Called by `storage.attempts.claims`; reads no file and
no clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from tausweep.storage.attempts.records import AttemptRecord

LONGEST_WAIT_SECONDS = 600.0


def seconds_to_wait(history: Sequence[AttemptRecord], now: float) -> float | None:
    """How long a run has to wait before it may begin without a request.

    A run that never began, was preempted or was requested by the user does not wait. One that lost its worker
    waits `retry_seconds` 2^(lost − 1), at most ten minutes, counted from its last heartbeat. Every other end
    is final, since the same would only happen again.

    Args:
        history: the run's attempts, the oldest first, none of them running.
        now: seconds since 1970-01-01 UTC.

    Returns:
        Seconds; 0 to begin now; None if the user has to request the run first.
    """
    if not history:
        return 0.0
    last = history[-1]
    if last.retry or last.state == "preempted":
        return 0.0
    lost = lost_in_a_row(history)
    if last.failure != "lost_worker" or last.ended is None or lost >= last.retries.max_attempts:
        return None
    wait: float = min(last.retries.retry_seconds * 2 ** min(lost - 1, 32), LONGEST_WAIT_SECONDS)
    passed = now - last.ended
    if passed < 0:  # ended in the future: clocks differ, and the wait need not be exact
        return 0.0
    return max(0.0, wait - passed)


def lost_in_a_row(history: Sequence[AttemptRecord]) -> int:
    """How many of the last attempts lost their worker without progress.

    An attempt made progress if the next one resumed at a larger tau. Attempts before the user's last request
    do not count. Preempted attempts without progress are neither counted nor do they end the row.
    """
    count, reached = 0, None
    for record in reversed(history):
        if record.retry or (record.state, record.failure) not in (
            ("failed", "lost_worker"),
            ("preempted", None),
        ):
            break
        began = record.resumed_from_tau
        if reached is not None and began is not None and reached > began:
            break
        count += record.failure == "lost_worker"
        reached = reached if began is None else began
    return count
