"""The power law a·n^alpha, and a·n^alpha·W^−gamma over widths."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.laws.competing.law import ANY, EXPONENTS, Observed, Parameter, needs_sizes
from tausweep.orchestrator.analysis.statistics.curve_regression import Mean


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """tau = a·n^alpha [·W^−gamma], optionally counted from each run's tau_gen.

    Attributes:
        after_tau_gen: tau = tau_gen + a·n^alpha [·W^−gamma]; the errors stay those of ln tau, so the law can
            compete with the others.
    """

    after_tau_gen: bool = False
    has_line: bool = False

    def formula(self, runs: Observed) -> str:
        """See `CompetingLaw`."""
        power = "a·n^alpha" + "·W^−gamma" * runs.several_widths
        return f"tau_gen + {power}" if self.after_tau_gen else power

    def missing(self, runs: Observed) -> str | None:
        """See `CompetingLaw`."""
        if self.after_tau_gen and np.isnan(runs.tau_gen).any():
            return f"tau_gen is not known of {int(np.isnan(runs.tau_gen).sum())} runs"
        return needs_sizes(runs, 2)

    def parameters(self, runs: Observed) -> list[Parameter]:
        """See `CompetingLaw`."""
        named = [Parameter(name="a", limits=ANY), Parameter(name="alpha", limits=EXPONENTS, logarithm=False)]  # fmt: skip
        if runs.several_widths:
            named.append(Parameter(name="gamma", limits=EXPONENTS, logarithm=False))
        return named

    def starts(self, runs: Observed) -> Sequence[Floats]:
        """See `CompetingLaw`."""
        widths = (0.0, 1.0) if runs.several_widths else ()
        if not widths:
            return [np.array([0.0, alpha]) for alpha in (0.5, 1.0, 2.0)]
        return [np.array([0.0, *pair]) for pair in itertools.product((0.5, 1.0, 2.0), widths)]

    def level(self, runs: Observed) -> Floats:
        """See `CompetingLaw`."""
        return np.array([1.0, 0.0, 0.0])[: 2 + runs.several_widths]

    def mean(self, theta: Floats, runs: Observed) -> Mean:
        """See `CompetingLaw`."""
        columns = [np.ones_like(runs.n), runs.log_n]
        if runs.several_widths:
            columns.append(-runs.log_width)
        X = np.column_stack(columns)
        power: Floats = X @ theta
        if not self.after_tau_gen:
            return Mean(power, X)
        value = np.logaddexp(np.log(runs.tau_gen), power)
        return Mean(value, X * np.exp(power - value)[:, None])
