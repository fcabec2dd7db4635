"""A FitResult with the curves it came from, and the words, colours and axes that all plots share.

Called by the plots, the gallery and the report; computes no fit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tausweep.orchestrator.analysis.criteria.criterion import written
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import group_words, width_words
from tausweep.orchestrator.analysis.runs.results import FitResult
from tausweep.orchestrator.figures.palette import size_colours


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A FitResult with the curves it came from, and the words and colours that all plots share."""

    result: FitResult
    measured: MeasuredRuns

    @property
    def runs(self) -> list[RunCurves]:
        """The runs that have a measurement, with their curves."""
        return self.measured.curves

    @property
    def of_run(self) -> dict[str, Condition]:
        """The condition of each run id."""
        return self.measured.of_run

    @cached_property
    def conditions(self) -> list[Condition]:
        """In the order of columns and colours."""
        return sorted(set(self.of_run.values()))

    @cached_property
    def n_values(self) -> list[int]:
        """Training-set sizes, ascending."""
        return sorted({run.n for run in self.runs})

    def colour(self, n: int) -> str:
        """Of one of the n, see `figures.palette`."""
        return size_colours(len(self.n_values))[self.n_values.index(n)]

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
