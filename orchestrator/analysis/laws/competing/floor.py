"""The law with a floor: tau_0 + c·n, and tau_0 + c·n·W^−gamma over widths.

A network that cannot draw anything yet cannot copy, so even small n are memorised only after some tau_0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.laws.competing.law import (
    ANY,
    EXPONENTS,
    NOTHING,
    Observed,
    Parameter,
    needs_sizes,
)
from tausweep.orchestrator.analysis.statistics.curve_regression import Mean


def floor_of(runs: Observed) -> Parameter:
    """The parameter tau_0: from a floor without effect on any run to one above all runs."""
    low, high = float(runs.seen_log_tau.min()), float(runs.seen_log_tau.max())
    return Parameter(name="tau_0", limits=(low - float(np.log(NOTHING)), high + 5), open_low=0.0)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """tau = tau_0 + c·n [·W^−gamma]; in the fit ln c, ln tau_0 [and gamma]."""

    has_line: bool = False

    def formula(self, runs: Observed) -> str:
        """See `CompetingLaw`."""
        return "tau_0 + c·n" + "·W^−gamma" * runs.several_widths

    def missing(self, runs: Observed) -> str | None:
        """See `CompetingLaw`."""
        return needs_sizes(runs, 2)

    def parameters(self, runs: Observed) -> list[Parameter]:
        """See `CompetingLaw`."""
        named = [Parameter(name="c", limits=ANY), floor_of(runs)]
        if runs.several_widths:
            named.append(Parameter(name="gamma", limits=EXPONENTS, logarithm=False))
        return named

    def starts(self, runs: Observed) -> Sequence[Floats]:
        """See `CompetingLaw`."""
        floors = [np.log(runs.seen_n.min()) + shift for shift in (-3.0, 0.0, 2.0)]  # tau_0 = c·n
        if not runs.several_widths:
            return [np.array([0.0, floor]) for floor in floors]
        middle = float(runs.log_width.mean())
        return [
            np.array([gamma * middle, floor, gamma]) for floor, gamma in itertools.product(floors, (0.0, 1.0))
        ]

    def level(self, runs: Observed) -> Floats:
        """See `CompetingLaw`."""
        return np.array([1.0, 1.0, 0.0])[: 2 + runs.several_widths]

    def mean(self, theta: Floats, runs: Observed) -> Mean:
        """See `CompetingLaw`."""
        grows = theta[0] + runs.log_n
        if runs.several_widths:
            grows = grows - theta[2] * runs.log_width
        value = np.logaddexp(theta[1], grows)
        share = np.exp(grows - value)  # fraction of tau that grows with n
        columns = [share, 1 - share]
        if runs.several_widths:
            columns.append(-share * runs.log_width)
        return Mean(value, np.column_stack(columns))
