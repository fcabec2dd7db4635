"""The options of the resolver: one value, checked at construction and passed through the whole resolver.

Made by the command line, the Python interface and `refine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from tausweep.orchestrator.analysis.criteria.criterion import Criterion, parse_threshold, require_threshold
from tausweep.orchestrator.analysis.criteria.crossing import Smoothing
from tausweep.orchestrator.analysis.criteria.names import parse_criterion
from tausweep.orchestrator.analysis.runs.curves import RunCurves
from tausweep.orchestrator.analysis.runs.default_criteria import criteria_for
from tausweep.storage.errors import InputError, nearest


@dataclass(frozen=True, kw_only=True)
class ResolverOptions:
    """How a sweep is resolved.

    Attributes:
        k: threshold of the gap ratio for criteria without their own, 0 < k ≤ 1; f_mem is recomputed from the
            neighbours.
        criteria: the criteria; empty for the default ones, see `for_runs`.
        smoothing: "isotonic" first replaces f_mem and the loss gap by their nearest non-decreasing curves.
        draws: bootstrap resamples, at least 1.
        seed: seed of the bootstrap; the same tables and options give the same result.

    Raises:
        InputError: a value is out of its range, a criterion is given twice, or there is no such smoothing.
    """

    k: float = 1 / 3
    criteria: tuple[Criterion, ...] = ()
    smoothing: Smoothing = "none"
    draws: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        require_threshold(self.k, f"{self.k:g}")
        if self.smoothing not in get_args(Smoothing):
            raise InputError(
                f"smoothing = {self.smoothing!r}: {nearest(self.smoothing, get_args(Smoothing))}"
            )
        names = [criterion.name for criterion in self.criteria]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"criterion {twice[0]}: is given twice")
        if self.draws < 1:
            raise InputError(f"draws = {self.draws}: at least one bootstrap resample is needed")

    def or_stated(self, criteria: Sequence[str]) -> ResolverOptions:
        """The same options, with the criteria that a sweep file states if none are given.

        Raises:
            InputError: no criterion has such a name, or one is stated twice.
        """
        return self if self.criteria else replace(self, criteria=tuple(map(parse_criterion, criteria)))

    def for_runs(self, runs: Sequence[RunCurves]) -> ResolverOptions:
        """The same options, with the default criteria of these runs if none are given."""
        return self if self.criteria else replace(self, criteria=criteria_for(runs))


def parse_options(k: str, criteria: Sequence[str] | None, *, isotonic: bool) -> ResolverOptions:
    """Options from the arguments of the command line.

    Raises:
        InputError: an argument is wrong, or a criterion is given twice.
    """
    parsed = tuple(parse_criterion(name) for name in criteria or ())
    smoothing: Smoothing = "isotonic" if isotonic else "none"
    return ResolverOptions(k=parse_threshold(k), criteria=parsed, smoothing=smoothing)
