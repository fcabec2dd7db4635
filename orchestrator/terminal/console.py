"""How the command line speaks: tables, JSON and progress, on a terminal and without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from numbers import Number
from typing import Any

from rich.cells import cell_len
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


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    wrap: Collection[str] = (),
    width: int | None = None,
) -> None:
    """Print rows; numbers are aligned to the right, what is missing is empty.

    Args:
        columns: their names.
        rows: a value per column.
        title: a line above, or several.
        wrap: columns of words, which take several lines where the table would be wider than `width`.
        width: in characters; by default the terminal's, and as wide as is needed where there is no terminal.
    """
    data = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], Number) for row in data if row[index] is not None)
        table.add_column(
            name, justify="right" if numeric and data else "left", no_wrap=name not in wrap, overflow="fold"
        )
    texts = [[_cell(value) for value in row] for row in data]
    for cells in texts:
        table.add_row(*cells)
    wanted = width or (console.width if console.is_terminal else _WIDEST)
    if title is not None:
        print_wrapped(title, wanted)
    # An id is never cut and no column left out: a table that can't be narrower is broken by a narrow terminal.
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    if needed <= wanted or not wrap:
        _console(max(needed, console.width)).print(table, crop=False, soft_wrap=True)
        return
    spare = sum(
        max(map(cell_len, column)) - max(_longest_word(text) for text in column)
        for column in (
            [name, *(cells[index] for cells in texts)] for index, name in enumerate(columns) if name in wrap
        )
    )
    _console(max(wanted, needed - spare)).print(table, crop=False)


def _longest_word(text: str) -> int:
    return max((cell_len(word) for word in text.split()), default=0)


def print_wrapped(text: str, width: int) -> None:
    """Print words on lines of at most so many characters."""
    _console(width).print(text)


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
