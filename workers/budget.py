"""The wall-clock budget of a worker: whether there is time for one more step and a checkpoint.

Held by the stop flag and fed by the run context; knows neither signals nor files.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MARGIN_SECONDS = 5.0
"""Kept free beyond what was measured: for records, and for steps that take longer than any before."""


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
