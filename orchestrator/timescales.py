"""Criteria: when does a curve say that a run memorises (tau_mem) or generates well (tau_gen)?

The resolver applies them to measured curves and to bootstrap resamples of these, many at once. A criterion is a value
that carries its own name, because an exponent means nothing without it, and is read back from that name
(`orchestrator.criteria`); it knows neither runs nor tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from orchestrator.first_crossing import (
    LEFT,
    RIGHT,
    Crossings,
    Floats,
    Quantity,
    first_crossing,
    provisional,
)
from orchestrator.quality_timescales import QualityLevel, QualityPlateau

Smoothing = Literal["none", "isotonic"]


def monotone(values: Floats) -> Floats:
    """The non-decreasing curves that are nearest to some curves in squares (isotonic regression).

    f_mem and the loss gap rise apart from noise; a single high evaluation then no longer decides a first crossing.

    Args:
        values: (..., T) curves.

    Returns:
        Curves of the same shape.
    """
    flat = values.reshape(-1, values.shape[-1])
    smooth = np.stack([isotonic_regression(curve).x for curve in flat]) if len(flat) else flat
    return smooth.reshape(values.shape)


def written(k: float) -> str:
    """A threshold as the paper writes it: `1/3`, or `0.4` where it is no unit fraction."""
    inverse = round(1 / k)
    return f"1/{inverse}" if inverse > 1 and math.isclose(1 / inverse, k) else f"{k:g}"


@dataclass(frozen=True, kw_only=True)
class MemorisedFraction:
    """tau_mem: f_mem reaches a level, at a threshold k of the gap ratio; None for that of the whole study.

    With a label, f_mem is that of the samples of one class.
    """

    level: float = 0.1
    k: float | None = None
    label: int | None = None
    quantity: Quantity = "tau_mem"
    measure: str = "f_mem"
    t: None = None
    rises: bool = True

    @property
    def name(self) -> str:
        """Such as `f_mem=0.1`, `f_mem=0.1@k1/2` at a threshold of its own, or `f_mem_class3=0.1` of one class."""
        of_class = "" if self.label is None else f"_class{self.label}"
        return f"f_mem{of_class}={self.level:g}" + (f"@k{written(self.k)}" if self.k is not None else "")

    def cross(self, tau: NDArray[np.integer], f_mem: Floats) -> Crossings:
        """Crossings of f_mem (..., T), in 0…1, evaluated at tau (T,)."""
        return first_crossing(tau, f_mem, self.level)


def _has_settled(tau: NDArray[np.integer], values: Floats) -> NDArray[np.bool_]:
    # Whether a rising curve was within a tenth of its maximum at half of the budget.
    halfway = values[..., 2 * tau <= tau[-1]].max(axis=-1, initial=-np.inf)
    return np.asarray(halfway >= 0.9 * values.max(axis=-1))


@dataclass(frozen=True, kw_only=True)
class MemorisedHalfMaximum:
    """tau_mem: f_mem reaches half of the run's own maximum.

    Undefined, and counted as right-censored, where that maximum is below `floor`, or where f_mem still rises: not yet
    within a tenth of its maximum at half of the budget. A maximum cut off by the budget would put tau_mem far too low,
    most so at large n.
    """

    floor: float = 0.1
    k: float | None = None
    quantity: Quantity = "tau_mem"
    measure: str = "f_mem"
    t: None = None
    rises: bool = True

    @property
    def name(self) -> str:
        """`f_mem=half_max`, or `f_mem=half_max@k1/2` at a threshold of its own."""
        return "f_mem=half_max" + (f"@k{written(self.k)}" if self.k is not None else "")

    def cross(self, tau: NDArray[np.integer], f_mem: Floats) -> Crossings:
        """Crossings of f_mem (..., T), in 0…1, evaluated at tau (T,)."""
        maximum = f_mem.max(axis=-1)
        crossings = first_crossing(tau, f_mem, np.maximum(maximum, self.floor) / 2)
        return provisional(crossings, (maximum >= self.floor) & _has_settled(tau, f_mem))


@dataclass(frozen=True, kw_only=True)
class LossGap:
    """tau_mem: the test loss exceeds the train loss at timestep t by a fixed amount."""

    level: float = 0.1
    t: float
    quantity: Quantity = "tau_mem"
    measure: str = "loss_gap"
    rises: bool = True

    @property
    def name(self) -> str:
        """Such as `loss_gap=0.1@t150`."""
        return f"loss_gap={self.level:g}@t{self.t:g}"

    def cross(self, tau: NDArray[np.integer], gap: Floats) -> Crossings:
        """Crossings of test_loss − train_loss (..., T), mean squared errors, evaluated at tau (T,)."""
        return first_crossing(tau, gap, self.level)


@dataclass(frozen=True, kw_only=True)
class LossGapHalfMaximum:
    """tau_mem: the test loss exceeds the train loss at t by half of the most that it ever does.

    Right-censored where the gap still grows: not yet within a tenth of its maximum at half of the budget.
    """

    t: float
    quantity: Quantity = "tau_mem"
    measure: str = "loss_gap"
    rises: bool = True

    @property
    def name(self) -> str:
        """Such as `loss_gap=half_max@t0.1`."""
        return f"loss_gap=half_max@t{self.t:g}"

    def cross(self, tau: NDArray[np.integer], gap: Floats) -> Crossings:
        """Crossings of test_loss − train_loss (..., T), mean squared errors, evaluated at tau (T,)."""
        maximum = gap.max(axis=-1)
        return provisional(first_crossing(tau, gap, maximum / 2), (maximum > 0) & _has_settled(tau, gap))


@dataclass(frozen=True, kw_only=True)
class SpectralTime:
    """A timescale that the run itself computed, from the spectrum of its loss rather than from a curve over tau.

    `jobs.score_regression.SpectralTimescales` defines it: the inverse rate of the mean eigenvalue of a bulk.
    """

    quantity: Quantity
    t: float
    rises: bool = False

    @property
    def measure(self) -> str:
        """The metric: `spectral_tau_mem` or `spectral_tau_gen`."""
        return f"spectral_{self.quantity}"

    @property
    def name(self) -> str:
        """Such as `spectral_tau_mem@t0.1`."""
        return f"{self.measure}@t{self.t:g}"

    def cross(self, tau: NDArray[np.integer], found: Floats) -> Crossings:  # noqa: ARG002 - the same at every tau
        """The timescale in updates, found (..., T), above 0; it may lie beyond the budget."""
        shape = found.shape[:-1]
        return Crossings(np.log(found[..., -1]), np.zeros(shape, dtype=np.int8), np.full(shape, np.nan))


@dataclass(frozen=True, kw_only=True)
class LossMinimum:
    """tau_mem: the test loss at timestep t is lowest, the point of classical early stopping.

    Right-censored at the lowest evaluation where the test loss has not risen by `rise` from there: it may still fall.
    Between evaluations the minimum is the vertex of the parabola in ln tau through the lowest and its two neighbours.
    """

    t: float
    rise: float = 0.05
    quantity: Quantity = "tau_mem"
    measure: str = "test_loss"
    rises: bool = False

    @property
    def name(self) -> str:
        """Such as `test_loss=min@t150`."""
        return f"test_loss=min@t{self.t:g}"

    def cross(self, tau: NDArray[np.integer], loss: Floats) -> Crossings:
        """Minima of the test loss (..., T), mean squared errors, evaluated at tau (T,)."""
        log, last = np.log(tau), len(tau) - 1
        lowest = loss.argmin(axis=-1)
        value = np.take_along_axis(loss, lowest[..., None], axis=-1)[..., 0]
        settled = loss[..., -1] >= (1 + self.rise) * value
        censored = np.where(settled, np.where(lowest == 0, LEFT, 0), RIGHT).astype(np.int8)
        x = [log[np.clip(lowest + step, 0, last)] for step in (-1, 0, 1)]
        y = [
            np.take_along_axis(loss, np.clip(lowest + step, 0, last)[..., None], axis=-1)[..., 0]
            for step in (-1, 0, 1)
        ]
        inner = censored == 0
        bound = np.where(inner, np.nan, tau[lowest].astype(np.float64))
        return Crossings(np.where(inner, _vertex(x, y), np.nan), censored, bound)


def _vertex(x: list[Floats], y: list[Floats]) -> Floats:
    """Where the parabola through three points is extreme; the middle x where they lie on a line."""
    left, right = (x[1] - x[0]) * (y[1] - y[2]), (x[1] - x[2]) * (y[1] - y[0])
    below = 2 * (left - right)
    above = (x[1] - x[0]) * left - (x[1] - x[2]) * right
    shift: Floats = np.divide(above, below, out=np.zeros_like(above), where=below != 0)
    return x[1] - shift


Criterion = (
    MemorisedFraction
    | MemorisedHalfMaximum
    | LossGap
    | LossGapHalfMaximum
    | LossMinimum
    | QualityPlateau
    | QualityLevel
    | SpectralTime
)


@dataclass(frozen=True)
class Crossing:
    """One run's crossing of one criterion.

    Attributes:
        tau: the crossing in optimiser updates; None if censored.
        censored: "right" if tau > bound, "left" if tau ≤ bound, None if tau is known.
        bound: None if tau is known, or if nothing bounds it.
        low, high: interval by resampling the run's generated samples; None where it is open within what was evaluated,
            and both None where nothing was resampled.
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


def extended(found: Crossings) -> Floats:
    """(...,) ln tau with +∞ for right-censored and −∞ for left-censored curves, so that quantiles keep their order."""
    outside = np.where(found.censored == RIGHT, np.inf, -np.inf)
    result: Floats = np.where(found.censored == 0, found.log_tau, outside)
    return result


def crossing(criterion: Criterion, tau: NDArray[np.integer], values: Floats) -> Crossing:
    """Apply a criterion to one curve: values (T,) evaluated at tau (T,), T at least 1."""
    found = criterion.cross(tau, values)
    if found.censored == 0:
        return Crossing(float(np.exp(found.log_tau)), None, None)
    bound = None if np.isnan(found.bound) else float(found.bound)
    return Crossing(None, "right" if found.censored == RIGHT else "left", bound)
