"""Progress of a sweep on a terminal, and lines with a time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.terminal.console import console, duration

_LINE_SECONDS = 10.0
_MEASURED_SECONDS = 20.0  # of work: a guess from less of it is wrong by factors


class RemainingTime:
    """How long the rest of some work takes, from the work that was seen to be done.

    Starting workers does not count: time runs from the last look at which nothing had been done.
    """

    def __init__(self, now: float) -> None:
        self._since = now

    def seconds(self, now: float, done: float, left: float) -> float | None:
        """Seconds that are left; None until 20 s of work have been measured, and where nothing is left.

        Args:
            now: clock in seconds.
            done: work done since the beginning, in any unit.
            left: work that is left, in the same unit.
        """
        if done <= 0:
            self._since = now
        elapsed = now - self._since
        return left / done * elapsed if done > 0 and left > 0 and elapsed >= _MEASURED_SECONDS else None


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how many of many things are done: yields a function of (done, all), which prints nothing if quiet."""
    last = time.monotonic()
    if quiet:
        yield lambda _done, _total: None
        return
    if console.is_terminal:
        with Progress(TextColumn(what), BarColumn(), MofNCompleteColumn(), console=console) as bar:
            task = bar.add_task(what)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            print(f"{what}: {done}/{total}", flush=True)  # noqa: T201 - plain lines for logs and pipes

    yield line


class ProgressView:
    """Shows how far a sweep is: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self._first = plan
        self._remaining = RemainingTime(time.monotonic())
        self._last_line = 0.0
        self._last_done = -1
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                console=console,
            )
            self._task = self._bar.add_task(plan.sweep, total=1.0, words="starting workers")

    def __enter__(self) -> ProgressView:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, plan: Plan) -> None:
        """Show the present state."""
        words = self._words(plan)
        total = sum(run.cost for run in plan.runs)
        if self._bar is not None:
            left = sum(run.cost_left for run in plan.runs)
            self._bar.update(self._task, completed=1 - left / total if total else 1.0, words=words)
            return
        done = plan.count("succeeded", "failed", "cancelled")
        now = time.monotonic()
        if done != self._last_done or now - self._last_line >= _LINE_SECONDS:
            self._last_line, self._last_done = now, done
            print(f"{plan.sweep}: {words}", flush=True)  # noqa: T201 - plain lines for logs and pipes

    def _words(self, plan: Plan) -> str:
        words = [f"{plan.count('succeeded')}/{len(plan.runs)} runs done"]
        words += [f"{plan.count('running')} running"]
        words += [f"{plan.count('failed')} failed"] if plan.count("failed") else []
        speed = sum(run.status.steps_per_second or 0 for run in plan.runs if run.status.state == "running")
        words += [f"{speed:.0f} steps/s"] if speed else []
        left = sum(run.cost_left for run in plan.runs if run.status.state not in ("failed", "cancelled"))
        done = sum(run.cost_left for run in self._first.runs) - sum(run.cost_left for run in plan.runs)
        # Time goes with images times parameters; small models cost more than that, so early guesses are rough.
        seconds = self._remaining.seconds(time.monotonic(), done, left)
        words += [f"about {duration(seconds)} left"] if seconds is not None else []
        return ", ".join(words)
