"""The thread that keeps a claim alive while the training loop computes.

At each beat it also checks for events elsewhere: the run was cancelled, another attempt has taken it over, or
the process that started this worker is gone.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType

from tausweep.storage.attempts.claims import beat
from tausweep.storage.attempts.records import Claim
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.files.object_store import io_errors
from tausweep.storage.layout import RunDirectory
from tausweep.workers.stop import StopFlag


class Heartbeat:
    """Sends heartbeats for one attempt, as a context manager."""

    def __init__(
        self, run: RunDirectory, claim: Claim, stop: StopFlag, *, seconds: float, parent: int | None
    ) -> None:
        """Prepare.

        Args:
            run: the run directory.
            claim: the claim to keep alive.
            stop: the flag to set.
            seconds: time between two beats.
            parent: pid of the process whose end stops the worker; None for none.
        """
        self.run, self.claim, self.stop = run, claim, stop
        self.seconds, self.parent = seconds, parent
        self.tau = 0
        self._from = (time.monotonic(), 0)
        self._beats = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def start_from(self, tau: int) -> None:
        """Measure the speed from here, without loading time and the steps before a resume."""
        self.tau = tau
        self._from = (time.monotonic(), tau)

    def _loop(self) -> None:
        while not self._done.wait(self.seconds):
            try:
                self._beat()
            except ClaimLostError:
                self.stop.stop_run("lost_claim")
                return
            except io_errors() as error:
                # A full or absent disk: the loop's own writes will report it; a missed beat alone is no
                # reason to end.
                print(f"heartbeat: {error}", flush=True)  # noqa: T201 - into the attempt's log

    def _beat(self) -> None:
        if self.parent is not None and os.getppid() != self.parent:
            self.stop.stop_worker()
        if self.run.cancel.exists():
            self.stop.stop_run("cancelled")
        since, tau = self._from
        elapsed = time.monotonic() - since
        speed = (self.tau - tau) / elapsed if self.tau > tau and elapsed > 0 else None
        self._beats += 1
        progress = {"beats": self._beats, "tau": self.tau, "steps_per_second": speed}
        beat(self.run, self.claim.model_copy(update=progress))
