"""Why and when a worker is asked to stop.

Signals, the end of a time budget, a vanished parent, a cancelled run and a lost claim only set a flag here.
The training loop reads it after each step, saves a checkpoint and returns. Signal handlers write nothing.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Literal

EXIT_REQUEUE = 75
"""Exit code of a worker that was asked to stop, or whose time is over: start it again (EX_TEMPFAIL)."""

MARGIN_SECONDS = 5.0
"""Kept free beyond what was measured: for records, and for steps that take longer than any before."""

Reason = Literal["preempted", "cancelled", "lost_claim"]


class Budget:
    """A time budget that counts down from its creation and learns how long steps and saves take."""

    def __init__(self, seconds: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            seconds: length of the budget; None for no end.
            clock: seconds since any origin, never set back.
        """
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._step = self._save = 0.0

    def saw_step(self, seconds: float) -> None:
        """Record how long a step took, including its evaluation."""
        self._step = max(self._step, seconds)

    def saw_save(self, seconds: float) -> None:
        """Record how long a checkpoint took."""
        self._save = max(self._save, seconds)

    @property
    def over(self) -> bool:
        """Whether the longest step and the longest save so far no longer fit, with a margin."""
        if self._end is None:
            return False
        return self._clock() + self._step + self._save + MARGIN_SECONDS >= self._end


class StopFlag:
    """Holds the first reason to stop.

    `preempted` and `lost_claim`, once set by a signal, end the whole worker.
    """

    def __init__(self, wall_seconds: float | None = None) -> None:
        """Start without a reason to stop.

        Args:
            wall_seconds: how long the worker may run from now; None for no limit.
        """
        self.budget = Budget(wall_seconds)
        self._worker: Reason | None = None
        self._run: Reason | None = None

    @property
    def reason(self) -> Reason | None:
        """Why the current run should stop, None to go on."""
        return self._worker or self._run

    @property
    def worker_should_stop(self) -> bool:
        """Whether the worker should begin no further run."""
        return self._worker is not None

    def look_at_budget(self) -> None:
        """Request the end of the worker if its time is over."""
        if self.budget.over:
            self.stop_worker()

    def stop_worker(self) -> None:
        """Request a checkpoint and the end of the worker."""
        self._worker = "preempted"

    def stop_run(self, reason: Reason) -> None:
        """Request the end of the current run only."""
        self._run = self._run or reason

    def next_run(self) -> None:
        """Forget requests that concerned only the previous run."""
        self._run = None

    def install(self) -> None:
        """Set the flag at SIGTERM, at SIGUSR1 and SIGUSR2 (early warnings) and at SIGINT.

        A second SIGINT quits at once.
        """
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        if number == signal.SIGINT and self._worker is not None:
            raise KeyboardInterrupt
        self.stop_worker()
