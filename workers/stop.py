"""Why and when a worker is asked to stop.

Signals, the end of a time budget, a vanished parent, a cancelled run and a lost claim all only set a flag
here; the training loop looks at it after each step, checkpoints, and returns. Nothing is written from a
signal handler.
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
    """Counts down from its creation, and learns how long things take."""

    def __init__(self, seconds: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            seconds: length of the budget; None for no end.
            clock: seconds from any beginning, never set back.
        """
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._step = self._save = 0.0

    def saw_step(self, seconds: float) -> None:
        """Learn how long a step took, with its evaluation if it had one."""
        self._step = max(self._step, seconds)

    def saw_save(self, seconds: float) -> None:
        """Learn how long a checkpoint took."""
        self._save = max(self._save, seconds)

    @property
    def over(self) -> bool:
        """Whether the longest step and the longest save seen so far no longer fit in, with a margin."""
        if self._end is None:
            return False
        return self._clock() + self._step + self._save + MARGIN_SECONDS >= self._end


class StopFlag:
    """Holds the first reason to stop.

    `preempted` and `lost_claim`, once set by a signal, end the whole worker.
    """

    def __init__(self, wall_seconds: float | None = None) -> None:
        """Nobody has asked yet.

        Args:
            wall_seconds: what the worker may last from now; None for no end.
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
        """Whether no further run should be begun."""
        return self._worker is not None

    def look_at_budget(self) -> None:
        """Ask for the end of the worker if its time is over."""
        if self.budget.over:
            self.stop_worker()

    def stop_worker(self) -> None:
        """Ask for a checkpoint and the end of the worker."""
        self._worker = "preempted"

    def stop_run(self, reason: Reason) -> None:
        """Ask for the end of the current run only."""
        self._run = self._run or reason

    def next_run(self) -> None:
        """Forget what concerned only the run before."""
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
