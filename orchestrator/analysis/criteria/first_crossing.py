"""First crossings of a level by many curves at once, with censoring for those that do not cross.

Called by the criteria (`orchestrator.analysis.criteria.criterion`), on measured curves and on resamples of
them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Quantity = Literal["tau_mem", "tau_gen"]
"""What a first crossing is the time of."""
RIGHT, LEFT = 1, -1
"""Codes in `Crossings.censored`; 0 is a crossing that was seen."""


class Crossings(NamedTuple):
    """First crossings of many curves.

    Attributes:
        tau: (...,) optimiser updates, exact where the level is met at an evaluated step; NaN where the
            crossing lies outside the evaluated range.
        censored: (...,) 0 seen, RIGHT later than the bound, LEFT at the bound, the first tau, or earlier.
        bound: (...,) of a censored tau; NaN if the crossing was seen, or where nothing bounds it.
    """

    tau: Floats
    censored: NDArray[np.int8]
    bound: Floats

    @property
    def log_tau(self) -> Floats:
        """(...,) natural logarithm of tau.

        Its exponential may exceed tau by rounding, so never compare it with a budget.
        """
        log: Floats = np.log(self.tau)
        return log


def first_crossing(tau: NDArray[np.integer], values: Floats, level: Floats | float) -> Crossings:
    """First tau at which `values` reaches `level`, interpolated between the two evaluations around it.

    Interpolated linearly in the value and logarithmically in tau:
    ln tau* = ln tau_i + (level − v_i) / (v_{i+1} − v_i) · (ln tau_{i+1} − ln tau_i).

    Args:
        tau: (T,) evaluated steps, at least 1, ascending; T at least 1.
        values: (..., T) curves at these steps.
        level: one level, or (...,) one per curve.
    """
    level = np.asarray(level, dtype=np.float64)
    reached = values >= level[..., None]
    first = reached.argmax(axis=-1)
    before = np.maximum(first - 1, 0)
    low = np.take_along_axis(values, before[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(values, first[..., None], axis=-1)[..., 0]
    censored = np.where(reached.any(axis=-1), np.where(first == 0, LEFT, 0), RIGHT).astype(np.int8)
    seen = censored == 0
    fraction = np.divide(level - low, high - low, out=np.full(low.shape, np.nan), where=seen)
    bound = np.where(seen, np.nan, np.where(censored == RIGHT, tau[-1], tau[0]))
    return Crossings(between(tau, before, first, fraction), censored, bound)


def between(
    tau: NDArray[np.integer], before: NDArray[np.intp], after: NDArray[np.intp], fraction: Floats
) -> Floats:
    """(...,) tau a fraction of the way between two evaluated steps in ln tau.

    Never outside them, not even by rounding.

    Args:
        tau: (T,) evaluated steps.
        before: (...,) place of the earlier step.
        after: (...,) place of the later one.
        fraction: (...,) 0 … 1, or NaN.
    """
    log = np.log(tau)
    inside = np.exp(log[before] + fraction * (log[after] - log[before]))
    bounded: Floats = np.where(fraction == 1, tau[after], np.clip(inside, tau[before], tau[after]))
    return bounded


def provisional(crossings: Crossings, settled: NDArray[np.bool_]) -> Crossings:
    """Right-censor where a level is not settled: it can only rise, so its crossing is a lower bound."""
    reached = np.where(crossings.censored == RIGHT, crossings.bound, crossings.tau)
    return Crossings(
        np.where(settled, crossings.tau, np.nan),
        np.where(settled, crossings.censored, RIGHT).astype(np.int8),
        np.where(settled, crossings.bound, reached),
    )


def has_settled(tau: NDArray[np.integer], values: Floats) -> NDArray[np.bool_]:
    """(...,) whether rising curves (..., T) were within a tenth of their maximum at half of the budget."""
    halfway = values[..., 2 * tau <= tau[-1]].max(axis=-1, initial=-np.inf)
    return np.asarray(halfway >= 0.9 * values.max(axis=-1))
