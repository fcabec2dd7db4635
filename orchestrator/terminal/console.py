"""How the command line speaks: tables, JSON and progress, on a terminal and without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from numbers import Number
from typing import Any

from rich.console import Console
from rich.table import Table

from tausweep.storage.errors import StoreError

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


def print_text(text: str) -> None:
    """Print a sentence: lines end between words on a terminal, and where the sentence ends elsewhere."""
    console.print(text, soft_wrap=not console.is_terminal)


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
