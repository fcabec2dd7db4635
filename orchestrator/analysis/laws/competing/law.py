"""The interface of a competing law: a curve of ln tau over n and the width, with named parameters.

A new one is a file of this folder and one line in `orchestrator.analysis.laws.competing.competition`. Laws
know runs only as arrays, and neither crossings nor results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.statistics.censored_regression import Responses
from tausweep.orchestrator.analysis.statistics.curve_regression import Mean

NOTHING = 1e3
"""A floor so many times below the tau, or a line so many times beyond the n, that were seen can't be told from none."""
ANY = (-200.0, 200.0)
"""Limits of the logarithm of an amplitude."""
EXPONENTS = (-20.0, 20.0)
"""Limits of an exponent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Runs with a crossing or a bound.

    Attributes:
        n: (N,) training-set sizes.
        width: (N,) W, or p for runs without W.
        p: (N,) parameters.
        tau_gen: (N,) tau_gen of each run; NaN where unknown.
        responses: ln tau_mem, or the logarithm of its bound.
    """

    n: Floats
    width: Floats
    p: Floats
    tau_gen: Floats
    responses: Responses

    @cached_property
    def several_widths(self) -> bool:
        """Whether runs of more than one width crossed."""
        return len(set(self.width[self.responses.seen])) > 1

    @cached_property
    def seen_n(self) -> Floats:
        """The n of the runs that crossed."""
        sizes: Floats = self.n[self.responses.seen]
        return sizes

    @cached_property
    def seen_log_tau(self) -> Floats:
        """The ln tau of these."""
        values: Floats = self.responses.value[self.responses.seen]
        return values

    @cached_property
    def log_n(self) -> Floats:
        """(N,) ln n."""
        log: Floats = np.log(self.n)
        return log

    @cached_property
    def log_width(self) -> Floats:
        """(N,) ln W, or ln p."""
        log: Floats = np.log(self.width)
        return log

    @cached_property
    def log_p(self) -> Floats:
        """(N,) ln p."""
        log: Floats = np.log(self.p)
        return log


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a law, in the fit and as an estimate.

    Attributes:
        name: such as `n_star`.
        limits: values in the fit beyond which the law no longer changes.
        logarithm: whether the fit uses its logarithm.
        open_low: the value of an open lower end, such as 0 for a floor; None if there is none.
    """

    name: str
    limits: tuple[float, float]
    logarithm: bool = True
    open_low: float | None = None


class CompetingLaw(Protocol):
    """A law of ln tau; implemented by frozen dataclasses."""

    @property
    def has_line(self) -> bool:
        """Whether tau_mem is infinite from some n on."""

    def formula(self, runs: Observed) -> str:
        """Such as `tau_0 + c·n`."""

    def missing(self, runs: Observed) -> str | None:
        """What these runs lack for the law; None if it can be fitted."""

    def parameters(self, runs: Observed) -> list[Parameter]:
        """Its parameters, in the order of the fit."""

    def starts(self, runs: Observed) -> Sequence[Floats]:
        """Starting points of the search, each up to the height of the whole curve."""

    def level(self, runs: Observed) -> Floats:
        """(K,) direction of the parameters that shifts the whole curve."""

    def mean(self, theta: Floats, runs: Observed) -> Mean:
        """Ln tau of each run and its derivatives."""


def needs_sizes(runs: Observed, count: int) -> str | None:
    """A sentence if there are crossings at fewer n than that, else None."""
    sizes = len(set(runs.seen_n))
    return None if sizes >= count else f"crossings at {sizes} n; {count} are needed"
