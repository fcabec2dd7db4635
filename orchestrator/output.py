"""How the command line speaks: tables, JSON and progress, on a terminal and without one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Number
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from orchestrator.plan import Plan
from storage.errors import StoreError

_LINE_SECONDS = 10.0
_WIDEST = 10_000

# Names of users and texts of errors are printed as they are: `[…]` is no markup and `:…:` no emoji.


def _console(width: int | None) -> Console:
    # Text of users and of errors is shown as it is, not read as markup.
    return Console(highlight=False, markup=False, emoji=False, width=width)


console = _console(None if sys.stdout.isatty() else 200)


def print_json(value: object) -> None:
    """Print a JSON document; a number that is not finite is an error, not NaN."""
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print rows; numbers are aligned to the right, what is missing is empty."""
    data = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], Number) for row in data if row[index] is not None)
        table.add_column(name, justify="right" if numeric and data else "left", no_wrap=True)
    for row in data:
        table.add_row(*(_cell(value) for value in row))
    # As wide as it needs to be: a narrow terminal breaks the lines, but no id is cut and no column left out.
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    _console(max(needed, console.width)).print(table, crop=False, soft_wrap=True)


def print_left_out(bad: Iterable[StoreError] | None) -> None:
    """List on stderr the files that a reader left out, if it was asked to."""
    for error in bad or ():
        print(f"tausweep: left out: {error}", file=sys.stderr)  # noqa: T201


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `45 s`, `6 min`, `2 h 10 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


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
        self._started = time.monotonic()
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
        elapsed = time.monotonic() - self._started
        # Time goes with images times parameters; small models cost more than that, so early guesses are rough.
        words += [f"about {duration(left / done * elapsed)} left"] if done > 0 and left > 0 else []
        return ", ".join(words)
