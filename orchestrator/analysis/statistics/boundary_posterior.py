"""n*(p; tau): the training-set size at which half of the runs of one width memorise within a budget.

Called by the resolver and by `refine`. The model is a logistic curve in ln n with unknown middle and
steepness. With few, cleanly separated runs the most likely steepness is infinite and meaningless, so both
have a posterior on a grid. Its quantiles are the estimate, and the expected shrinkage tells which run to do
next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, xlogy

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.criteria.first_crossing import Floats

_MIDDLES = 600
_STEEPNESS = np.geomspace(1.5, 60, 24)
"""Of the logistic curve in ln n: from 10 to 90 % within a factor e^{4.4/s} in n, 19 to 1.08. Log-uniform beforehand."""
_BEYOND = np.log(4)  # the prior of n* is flat in ln n, up to a factor of 4 outside the measured n


class DecidedRun(NamedTuple):
    """A run that was trained long enough to tell whether it memorises within a budget."""

    n: int
    memorises: bool


def decide(n: int, crossing: Crossing, budget: float) -> DecidedRun | None:
    """Whether a run memorises within a budget; None if it ended before without a crossing."""
    if crossing.tau is not None:
        return DecidedRun(n, crossing.tau <= budget)
    if crossing.bound is None:
        return None
    if crossing.censored == "right":
        return DecidedRun(n, False) if crossing.bound >= budget else None
    return DecidedRun(n, True) if crossing.bound <= budget else None


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryPosterior:
    """The posterior of ln n* and the steepness.

    Attributes:
        log_n: (M,) grid of ln n*.
        weights: (M, S) posterior, sums to 1; S grid values of the steepness.
        measured: smallest and largest measured n.
    """

    log_n: Floats
    weights: Floats
    measured: tuple[float, float]

    @classmethod
    def of(cls, decided: Sequence[DecidedRun]) -> BoundaryPosterior:
        """The posterior after some runs; weights ∝ prior · Π P(memorises | n)^y (1 − P)^(1 − y).

        P(memorises | n) = 1/(1 + exp(s (ln n − ln n*))), flat in ln n* and ln s.

        Args:
            decided: at least one run; n* ranges up to a factor of 4 around their n.
        """
        n = [run.n for run in decided]
        measured = low, high = float(min(n)), float(max(n))
        log_n = np.linspace(np.log(low) - _BEYOND, np.log(high) + _BEYOND, _MIDDLES)
        log_weights = np.zeros((_MIDDLES, len(_STEEPNESS)))
        for size in sorted(set(n)):
            p = probability(log_n, size)
            yes = sum(run.memorises for run in decided if run.n == size)
            no = n.count(size) - yes
            log_weights += xlogy(yes, p) + xlogy(no, 1 - p)
        weights = np.exp(log_weights - log_weights.max())
        return cls(log_n=log_n, weights=weights / weights.sum(), measured=measured)

    def quantile(self, fraction: float) -> float:
        """Quantile of n*, interpolated on the grid."""
        cumulative = np.cumsum(self.weights.sum(axis=1))
        return float(np.exp(np.interp(fraction, cumulative, self.log_n)))

    def interval(self, confidence: float) -> tuple[float | None, float | None, float | None]:
        """Median, low and high of n*.

        None outside the measured n, where only the prior counts.
        """
        outer = (1 - confidence) / 2
        smallest, largest = self.measured
        middle, low, high = (self.quantile(fraction) for fraction in (0.5, outer, 1 - outer))
        # Open on a side: the measurements there only tell that n* is not far inside.
        return (
            middle if smallest <= middle <= largest else None,
            min(low, largest) if low >= smallest else None,
            max(high, smallest) if high <= largest else None,
        )

    @property
    def width(self) -> float:
        """Factor between the 97.5 % and the 2.5 % quantile of n*."""
        return self.quantile(0.975) / self.quantile(0.025)

    def memorises(self, n: float) -> float:
        """Probability that a further run of this n memorises."""
        return float((self.weights * probability(self.log_n, n)).sum())

    def after(self, n: float, memorises: bool) -> BoundaryPosterior:
        """The posterior if a further run of this n ended like this."""
        p = probability(self.log_n, n)
        weights = self.weights * (p if memorises else 1 - p)
        measured = min(self.measured[0], n), max(self.measured[1], n)
        return BoundaryPosterior(log_n=self.log_n, weights=weights / weights.sum(), measured=measured)


def information(weights: Floats, p: Floats) -> Floats:
    """Expected information, in nats, that one more run gives about ln n*, for each of several posteriors.

    I = H(y) − E[H(y | n*)], with the steepness integrated out (Lindley 1956, doi:10.1214/aoms/1177728069).

    Args:
        weights: (..., M, S) posteriors, each of sum 1.
        p: (M, S) probability that the run memorises.

    Returns:
        (...) one number per posterior.
    """
    middle = weights.sum(axis=-1)
    yes = np.einsum("...ms,ms->...m", weights, p)
    conditional = (middle * _entropy(yes / np.maximum(middle, 1e-300))).sum(axis=-1)
    result: Floats = _entropy(yes.sum(axis=-1)) - conditional
    return result


def probability(log_n: Floats, n: float) -> Floats:
    """(M, S) probability that a run of size n memorises, on the grid of ln n* and steepness; never 0 or 1."""
    p: Floats = expit(-_STEEPNESS[None, :] * (np.log(n) - log_n[:, None]))
    return np.clip(p, 1e-9, 1 - 1e-9)


def _entropy(p: Floats) -> Floats:
    result: Floats = -xlogy(p, p) - xlogy(1 - p, 1 - p)
    return result
