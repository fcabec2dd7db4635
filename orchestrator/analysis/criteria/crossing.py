"""One run's crossing of one criterion, and the smoothing before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.first_crossing import RIGHT, Crossings, Floats

Smoothing = Literal["none", "isotonic"]


def monotone(values: Floats) -> Floats:
    """The non-decreasing curves nearest to some curves in least squares (isotonic regression).

    f_mem and the loss gap rise apart from noise; a single high evaluation then no longer decides a first
    crossing.

    Args:
        values: (..., T) curves.

    Returns:
        Curves of the same shape.
    """
    flat = values.reshape(-1, values.shape[-1])
    smooth = np.stack([isotonic_regression(curve).x for curve in flat]) if len(flat) else flat
    return smooth.reshape(values.shape)


@dataclass(frozen=True)
class Crossing:
    """One run's crossing of one criterion.

    Attributes:
        tau: the crossing in optimiser updates; None if censored.
        censored: "right" if tau > bound, "left" if tau ≤ bound, None if tau is known.
        bound: None if tau is known, or if nothing bounds it.
        low, high: interval by resampling the run's generated samples; None on a side where it is open within
            the evaluated range, and both None where nothing was resampled.
    """

    tau: float | None
    censored: Literal["right", "left"] | None
    bound: float | None
    low: float | None = None
    high: float | None = None

    @property
    def log_tau(self) -> float:
        """Ln tau; +∞ where right-censored, −∞ where left-censored."""
        if self.tau is not None:
            return float(np.log(self.tau))
        return np.inf if self.censored == "right" else -np.inf


def extended(crossings: Crossings) -> Floats:
    """(...,) ln tau, +∞ for right-censored and −∞ for left-censored curves, so that quantiles keep order."""
    outside = np.where(crossings.censored == RIGHT, np.inf, -np.inf)
    result: Floats = np.where(crossings.censored == 0, crossings.log_tau, outside)
    return result


def crossing(criterion: Criterion, tau: NDArray[np.integer], values: Floats) -> Crossing:
    """Apply a criterion to one curve: values (T,) evaluated at tau (T,), T at least 1."""
    crossings = criterion.cross(tau, values)
    if crossings.censored == 0:
        return Crossing(float(crossings.tau), None, None)
    bound = None if np.isnan(crossings.bound) else float(crossings.bound)
    return Crossing(None, "right" if crossings.censored == RIGHT else "left", bound)
