"""The law with an architectural line, c·n/(1 − n/n*), with or without a floor.

Bonnaire et al. (arXiv:2505.17638) find that for n above some n*(p) a network of p parameters generalises for
good. This is the simplest form with such a limit; n* = ∞ is tau = c·n, or the law with a floor. Over widths
there is one c, and n* = a·p^b.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.laws.competing.floor import floor_of
from tausweep.orchestrator.analysis.laws.competing.law import (
    ANY,
    EXPONENTS,
    NOTHING,
    Observed,
    Parameter,
    needs_sizes,
)
from tausweep.orchestrator.analysis.statistics.curve_regression import Mean

_NEAR = 1 - 1e-6  # the law is exact up to this n/n*
_BEYOND = (
    0.02,
    0.1,
    0.5,
    1.5,
    5.0,
)  # ln of the factors beyond the crossed n at which the search for n* starts


@dataclass(frozen=True, kw_only=True)
class Line:
    """tau = [tau_0 +] c·n/(1 − n/n*).

    In the fit ln c, [ln tau_0,] ln n*, and over widths ln a in place of ln n*, and b.

    Attributes:
        floor: whether there is a tau_0.
        at_p: over widths, the p at which the fit uses ln n* in place of ln a.
    """

    floor: bool
    at_p: float | None = None
    has_line: bool = True

    def formula(self, runs: Observed) -> str:
        """See `CompetingLaw`."""
        line = "c·n/(1 − n/n*)" + ", n* = a·p^b" * runs.several_widths
        return f"tau_0 + {line}" if self.floor else line

    def missing(self, runs: Observed) -> str | None:
        """See `CompetingLaw`."""
        return needs_sizes(runs, 3)

    def parameters(self, runs: Observed) -> list[Parameter]:
        """See `CompetingLaw`."""
        named = [Parameter(name="c", limits=ANY)]
        if self.floor:
            named.append(floor_of(runs))
        if runs.several_widths and self.at_p is None:
            named.append(Parameter(name="a", limits=ANY))
        else:
            sizes = np.log(runs.seen_n.min() / NOTHING), np.log(runs.seen_n.max() * NOTHING)
            named.append(Parameter(name="n_star", limits=(float(sizes[0]), float(sizes[1]))))
        if runs.several_widths:
            named.append(Parameter(name="b", limits=EXPONENTS, logarithm=False))
        return named

    def starts(self, runs: Observed) -> Sequence[Floats]:
        """See `CompetingLaw`."""
        seen = runs.responses.seen
        floors = [np.log(runs.seen_n.min()) + shift for shift in (-3.0, 1.0)] if self.floor else [None]
        powers = (1.0, 2.0, 0.0) if runs.several_widths else (None,)
        thetas = []
        for floor, b, beyond in itertools.product(floors, powers, _BEYOND):
            # n* must lie beyond every n that crossed at its width.
            nearest = float((runs.log_n - (b or 0) * self._log_p(runs))[seen].max())
            known = [0.0, floor, nearest + beyond, b]
            thetas.append(np.array([value for value in known if value is not None]))
        return thetas

    def level(self, runs: Observed) -> Floats:
        """See `CompetingLaw`."""
        return np.array([1.0, *([1.0] if self.floor else []), 0.0, *([0.0] if runs.several_widths else [])])

    def mean(self, theta: Floats, runs: Observed) -> Mean:
        """See `CompetingLaw`."""
        place = 2 if self.floor else 1
        log_star = np.full_like(runs.n, theta[place])
        if runs.several_widths:
            log_star = log_star + theta[place + 1] * self._log_p(runs)
        share = np.exp(np.minimum(runs.log_n - log_star, 50))  # n/n*
        inside = np.minimum(share, _NEAR)
        # Beyond that it rises as steeply as it can: no run comes that late, and the search finds its way
        # back.
        grows = theta[0] + runs.log_n - np.log1p(-inside) + (share - inside) / (1 - _NEAR)
        by_star = -share / (1 - inside)  # d of −ln(1 − n/n*) by ln n*
        value, part = grows, np.ones_like(grows)
        columns = []
        if self.floor:
            value = np.logaddexp(theta[1], grows)
            part = np.exp(grows - value)
            columns.append(1 - part)
        columns = [part, *columns, part * by_star]
        if runs.several_widths:
            columns.append(part * by_star * self._log_p(runs))
        return Mean(value, np.column_stack(columns))

    def _log_p(self, runs: Observed) -> Floats:
        return runs.log_p if self.at_p is None else runs.log_p - np.log(self.at_p)
