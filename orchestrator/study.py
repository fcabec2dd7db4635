"""A FitResult with the curves it came from, and the words, colours and axes that all plots share.

Called by the plots, the gallery and the report; computes no fit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from orchestrator.curves import Condition, RunCurves
from orchestrator.grouping import group_words, width_words
from orchestrator.results import FitResult
from orchestrator.timescales import written

TAU, F_MEM = r"$\tau$ (optimiser updates)", r"$f_\mathrm{mem}$"
# Okabe & Ito's colours, which stay apart for the colour-blind.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":")


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A FitResult with the curves it came from, and the words and colours that all plots share."""

    result: FitResult
    runs: list[RunCurves]
    of_run: dict[str, Condition]

    @cached_property
    def conditions(self) -> list[Condition]:
        """In the order of columns and colours."""
        return sorted(set(self.of_run.values()))

    @cached_property
    def n_values(self) -> list[int]:
        """Training-set sizes, ascending."""
        return sorted({run.n for run in self.runs})

    def colour(self, n: int) -> str:
        """Viridis, evenly over the values of n."""
        place = self.n_values.index(n) / max(1, len(self.n_values) - 1)
        return to_hex(mpl.colormaps["viridis"](0.9 * place))  # the brightest yellow is lost on white

    @property
    def k(self) -> str:
        """The gap ratio's threshold as the paper writes it."""
        return written(self.result.k)

    def label(self, condition: Condition) -> str:
        """What tells this condition from the others; empty if there is only one."""
        return ", ".join(
            p for p in _parts(condition) if any(p not in _parts(other) for other in self.conditions)
        )

    def column_label(self, column: Condition) -> str:
        """What tells the conditions of all widths that are otherwise like this one from the others."""
        words = [set(group_words(other)) for other in self.conditions]
        return ", ".join(p for p in group_words(column) if any(p not in others for others in words))

    def title(self) -> str:
        """Sweep and data, and below it what else all runs have in common."""
        shared = [
            p for p in _parts(self.conditions[0]) if all(p in _parts(other) for other in self.conditions)
        ]
        data = ", ".join(sorted({str(run.settings["data"]) for run in self.runs}))
        return f"{self.result.sweep} · {data}\n{' · '.join(shared)}".rstrip()


def _parts(condition: Condition) -> list[str]:
    return [width_words(condition), *group_words(condition)]


def plain_log(axis: Axis, decades: float = 0) -> None:
    """Ticks as plain numbers, 1-2-5 where two decades or less are shown; at least `decades` are."""
    low, high = np.log10(axis.get_view_interval())
    missing = max(0.0, decades - (high - low)) / 2  # a noisy constant must not look like a trend
    axis.set_view_interval(10 ** (low - missing), 10 ** (high + missing), ignore=True)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low <= 2 else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())
