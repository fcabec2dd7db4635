"""Kills at random instants and at fail-points, several on one store, until its sweep is complete.

`Campaign` starts a sweep, inflicts faults while it runs, starts it again whenever it has ended, and at last compares
the store with the undisturbed one. Used by the tests here and by `make faults`.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import StoreLayout
from tests.faults.sweeps import Science, attempts, differences, start, workers_of, write_sweep
from tests.integration.tiny_sweep import run_command

Victim = Literal["orchestrator", "worker", "rank", "all", "whoever comes first"]
FILES = {"checkpoint": "*.pt", "part": "*.parquet", "record": "*.json", "heartbeat": "claim"}
POINTS = ("before_write", "before_fsync", "before_rename", "after_rename")
_LATEST_SECONDS = 8.0  # instants are spread over so long, about what loading torch and training take
_PATIENCE_SECONDS = 300.0
_MOST_STARTS = 20


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A fault of this kind.

    Attributes:
        victim: which process is hit.
        where: "any instant", or a fail-point: its name and what is being written.
        signal: what it is hit by.
        processes: ranks of a run in the sweep that is disturbed.
    """

    victim: Victim
    where: str = "any instant"
    signal: signal.Signals = signal.SIGKILL
    processes: int = 1

    @property
    def name(self) -> str:
        """In words."""
        ranks = " (2 ranks per run)" if self.processes > 1 else ""
        return f"{self.signal.name} of {self.victim}{ranks}"


def kinds() -> list[Kill]:
    """Every kind of kill once, but more of those at random instants, as each of them may hit anything."""
    instants = [
        *[Kill(victim=victim) for victim in ("orchestrator", "worker", "all")] * 2,
        Kill(victim="orchestrator", signal=signal.SIGTERM),
        Kill(victim="worker", signal=signal.SIGTERM),
        Kill(victim="orchestrator", signal=signal.SIGINT),
        Kill(victim="worker", signal=signal.SIGINT),
    ]
    ranks = [Kill(victim=victim, processes=2) for victim in ("rank", "worker", "rank", "orchestrator")]
    points = [
        Kill(victim="whoever comes first", where=f"{point}, {file}") for file in FILES for point in POINTS
    ]
    return [*instants, *points, *ranks]


class Campaign:
    """One store and the kills that hit it."""

    def __init__(self, folder: Path, generator: random.Random, *, processes: int = 1) -> None:
        """Prepare; nothing is started.

        Args:
            folder: made for this store alone.
            generator: of instants and victims.
            processes: ranks of a run.
        """
        self.store = folder / "runs"
        self.kills: list[Kill] = []
        self._file = write_sweep(folder, workers=2 // processes, processes=processes)
        self._order = folder / "order"
        self._random = generator
        self._process: subprocess.Popen[bytes] | None = None

    def inflict(self, kill: Kill) -> bool:
        """Start the sweep if it does not run, and hit it once.

        Returns:
            False if the sweep was complete before it could be hit.
        """
        for _ in range(_MOST_STARTS):
            if self._complete():
                return False
            self._keep_running()
            time.sleep(self._random.uniform(0, _LATEST_SECONDS))
            if self._at_an_instant(kill) if kill.where == "any instant" else self._at_a_point(kill.where):
                self.kills.append(kill)
                return True
        raise AssertionError(f"{kill}: started {_MOST_STARTS} times, and neither hit nor complete")

    def _keep_running(self) -> None:
        if self._process is None or self._process.poll() is not None:
            # Both are promised to go on.
            resume = self._known() and self._random.random() < 0.5
            command = ("resume", "faulty") if resume else ("run", self._file)
            self._process = start(*command, store=self.store, order=self._order)

    def _known(self) -> bool:
        """Whether the sweep has got so far that it can be resumed by its name."""
        return StoreLayout(self.store).sweep("faulty").exists()

    def finish(self, expected: Science) -> list[str]:
        """Let the sweep come to its end and compare; what is wrong, nothing if all is well."""
        if self._process is not None:
            self._process.wait(_PATIENCE_SECONDS)
        if not self._known():
            run_command("run", self._file, store=self.store)
        # A worker whose orchestrator was killed ends within a heartbeat; a `resume` that is faster leaves its run to it.
        for _ in range(_MOST_STARTS):
            done = run_command("resume", "faulty", "--failed", store=self.store, check=False)
            if done.returncode or self._complete():
                break
        wrong = [f"resume: {done.stdout}{done.stderr}"] if done.returncode else []
        attempts(self.store)
        return wrong + differences(self.store, expected)

    def abandon(self) -> None:
        """Kill what is left of a sweep that came to no end."""
        if self._process is not None and self._process.poll() is None:
            for process in psutil.Process(self._process.pid).children(recursive=True):
                process.kill()
            self._process.kill()
            self._process.wait()

    def _complete(self) -> bool:
        layout = StoreLayout(self.store)
        states = {run_status(layout.run(run_id)).state for run_id in layout.run_ids()}
        return states == {"succeeded"}

    def _at_an_instant(self, kill: Kill) -> bool:
        def hit() -> bool:
            victims = self._victims(kill.victim)
            for victim in victims:
                victim.send_signal(kill.signal)
            return bool(victims)

        return self._eventually(hit)

    def _at_a_point(self, where: str) -> bool:
        point, file = where.split(", ")
        self._order.write_text(f"{point}:{FILES[file]}")
        before = len(list(self._order.parent.glob("order.*")))
        hit = self._eventually(lambda: len(list(self._order.parent.glob("order.*"))) > before)
        self._order.unlink(missing_ok=True)
        return hit

    def _victims(self, victim: Victim) -> list[psutil.Process]:
        assert self._process is not None
        if self._process.poll() is not None:
            return []
        orchestrator = psutil.Process(self._process.pid)
        workers = workers_of(orchestrator)
        ranks = [rank for worker in workers for rank in workers_of(worker)]
        if victim == "all":
            return [orchestrator, *workers, *ranks] if workers else []
        among = {"orchestrator": [orchestrator], "worker": workers, "rank": ranks}[victim]
        return self._random.sample(among, min(1, len(among)))

    def _eventually(self, condition: Callable[[], bool]) -> bool:
        """Whether something happened before the sweep's command ended."""
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            if self._process.poll() is not None:
                return condition()
            assert time.monotonic() < deadline, "the sweep neither goes on nor ends"
            time.sleep(0.01)
        return True
