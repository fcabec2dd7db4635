"""Footnotes of a table on the terminal: a cell has a number, and the sentence stands below the table."""

from __future__ import annotations

from tausweep.orchestrator.terminal import console


class Footnotes:
    """The footnotes of one table, numbered in the order in which they are first needed; equal ones are one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, sentence: str) -> str:
        """The mark of a sentence, such as `(1)`, for a cell."""
        return f"({self._numbers.setdefault(sentence, len(self._numbers) + 1)})"

    def dash(self, reason: str) -> str:
        """A cell without a value: a dash, and the mark of the reason."""
        return f"– {self.mark(reason)}"

    def print(self, width: int) -> None:
        """Print the sentences, wrapped to a width in characters."""
        for sentence, number in self._numbers.items():
            console.print_wrapped(f"({number}) {sentence}", width)
