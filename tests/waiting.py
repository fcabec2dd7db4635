"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], *, seconds: float = 300, every: float = 0.1, what: str = "it"
) -> None:
    """Return once something is so.

    Args:
        condition: what is waited for; asked again and again.
        seconds: for how long at most, after which the test fails.
        every: seconds between two questions.
        what: is said to have failed to happen.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(every)
