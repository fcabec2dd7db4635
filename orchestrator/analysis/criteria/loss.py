"""Criteria on losses and on spectra."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.spec.metrics import SCORE_ERROR, SPECTRAL_TAU_GEN, SPECTRAL_TAU_MEM, TEST_LOSS
from tausweep.orchestrator.analysis.criteria.criterion import NUMBER
from tausweep.orchestrator.analysis.criteria.first_crossing import (
    LEFT,
    RIGHT,
    Crossings,
    Floats,
    Quantity,
    first_crossing,
    has_settled,
    provisional,
)
from tausweep.storage.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LossGap:
    """tau_mem: the test loss exceeds the train loss at timestep t by a fixed amount."""

    level: float = 0.1
    t: float
    quantity: Quantity = "tau_mem"
    measure: str = "loss_gap"
    rises: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("loss_gap=0.1@t150",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(rf"loss_gap=(?P<level>{NUMBER})@t(?P<t>{NUMBER})")

    @property
    def name(self) -> str:
        """Such as `loss_gap=0.1@t150`."""
        return f"loss_gap={self.level:g}@t{self.t:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        level = float(given["level"])
        if level <= 0:
            raise InputError("a gap above 0 is needed")
        return cls(level=level, t=float(given["t"]))

    def cross(self, tau: NDArray[np.integer], gap: Floats) -> Crossings:
        """Crossings of test_loss − train_loss (..., T), mean squared errors, evaluated at tau (T,)."""
        return first_crossing(tau, gap, self.level)


@dataclass(frozen=True, kw_only=True)
class LossGapHalfMaximum:
    """tau_mem: the loss gap at t reaches half of its maximum.

    Right-censored where the gap still grows: not yet within a tenth of its maximum at half of the budget.
    """

    t: float
    quantity: Quantity = "tau_mem"
    measure: str = "loss_gap"
    rises: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("loss_gap=half_max@t150",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(rf"loss_gap=half_max@t(?P<t>{NUMBER})")

    @property
    def name(self) -> str:
        """Such as `loss_gap=half_max@t0.1`."""
        return f"loss_gap=half_max@t{self.t:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        return cls(t=float(given["t"]))

    def cross(self, tau: NDArray[np.integer], gap: Floats) -> Crossings:
        """Crossings of test_loss − train_loss (..., T), mean squared errors, evaluated at tau (T,)."""
        maximum = gap.max(axis=-1)
        return provisional(first_crossing(tau, gap, maximum / 2), (maximum > 0) & has_settled(tau, gap))


@dataclass(frozen=True, kw_only=True)
class SpectralTime:
    """A timescale that the run itself computed from the spectrum of its loss, not from a curve.

    `jobs.random_features.closed_form.SpectralTimescales` defines it: the inverse rate of the mean eigenvalue
    of a bulk.
    """

    quantity: Quantity
    t: float
    rises: ClassVar[bool] = False
    forms: ClassVar[tuple[str, ...]] = ("spectral_tau_mem@t0.1",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"spectral_(?P<quantity>tau_mem|tau_gen)@t(?P<t>{NUMBER})"
    )

    @property
    def measure(self) -> str:
        """The metric: `spectral_tau_mem` or `spectral_tau_gen`."""
        return SPECTRAL_TAU_MEM if self.quantity == "tau_mem" else SPECTRAL_TAU_GEN

    @property
    def name(self) -> str:
        """Such as `spectral_tau_mem@t0.1`."""
        return f"{self.measure}@t{self.t:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        return cls(quantity="tau_mem" if given["quantity"] == "tau_mem" else "tau_gen", t=float(given["t"]))

    def cross(self, tau: NDArray[np.integer], timescale: Floats) -> Crossings:  # noqa: ARG002 - the same at every tau
        """The timescale in updates, timescale (..., T), above 0; it may lie beyond the budget."""
        shape = timescale.shape[:-1]
        return Crossings(timescale[..., -1], np.zeros(shape, dtype=np.int8), np.full(shape, np.nan))


@dataclass(frozen=True, kw_only=True)
class LossMinimum:
    """tau_mem: the test loss, or the error of the score, at t is lowest, as in classical early stopping.

    Right-censored at the lowest evaluation if it has not since risen by the fraction `rise` of its range
    (highest minus lowest evaluation), because it may still fall. The part that no training can lower, such as
    the noise in the loss, does not count in this range. Between evaluations the minimum is the vertex of the
    parabola in ln tau through the lowest and its two neighbours.
    """

    t: float
    rise: float = 0.05
    quantity: Quantity = "tau_mem"
    measure: str = TEST_LOSS
    rises: ClassVar[bool] = False
    forms: ClassVar[tuple[str, ...]] = ("test_loss=min@t150", "score_error=min@t0.1")
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"(?P<measure>{TEST_LOSS}|{SCORE_ERROR})=min@t(?P<t>{NUMBER})"
    )

    @property
    def name(self) -> str:
        """Such as `test_loss=min@t150` or `score_error=min@t0.1`."""
        return f"{self.measure}=min@t{self.t:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        return cls(measure=given["measure"], t=float(given["t"]))

    def cross(self, tau: NDArray[np.integer], loss: Floats) -> Crossings:
        """Minima of the measure (..., T), mean squared errors, evaluated at tau (T,)."""
        log, last = np.log(tau), len(tau) - 1
        lowest = loss.argmin(axis=-1)
        value = np.take_along_axis(loss, lowest[..., None], axis=-1)[..., 0]
        moved = loss.max(axis=-1) - value
        settled = (loss[..., -1] - value >= self.rise * moved) & (moved > 0)
        censored = np.where(settled, np.where(lowest == 0, LEFT, 0), RIGHT).astype(np.int8)
        x = [log[np.clip(lowest + step, 0, last)] for step in (-1, 0, 1)]
        y = [
            np.take_along_axis(loss, np.clip(lowest + step, 0, last)[..., None], axis=-1)[..., 0]
            for step in (-1, 0, 1)
        ]
        inner = censored == 0
        bound = np.where(inner, np.nan, tau[lowest].astype(np.float64))
        vertex = tau[lowest] * np.exp(_shift(x, y))
        return Crossings(np.where(inner, vertex, np.nan), censored, bound)


def _shift(x: list[Floats], y: list[Floats]) -> Floats:
    """Distance from the middle x to the extremum of the parabola through three points; 0 for a line."""
    left, right = (x[1] - x[0]) * (y[1] - y[2]), (x[1] - x[2]) * (y[1] - y[0])
    below = 2 * (left - right)
    above = (x[1] - x[0]) * left - (x[1] - x[2]) * right
    shift: Floats = -np.divide(above, below, out=np.zeros_like(above), where=below != 0)
    return shift
