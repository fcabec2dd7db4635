"""The theoretical spectrum of the random-features matrix U: a delta mass at s², bulk 1 and bulk 2.

U = E[σ σᵀ] over the training set and the noise (see `jobs.random_features.moments`), in the limit p, n, d →
∞. Bulk 2 are the largest d of the p eigenvalues, the directions of the population; bulk 1 are those of single
training points, min(n, p − d) in number; the rest, p − n − d of them, are s² exactly (Bonnaire et al.,
arXiv:2505.17638, Theorem 3.2). Called by the timescales, the command line and tests; torch-free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tausweep.jobs.arrays import Floats
from tausweep.jobs.random_features.constants import FeatureConstants
from tausweep.jobs.random_features.stieltjes import Ensemble, solve
from tausweep.storage.errors import SettingError, TheoryError

Regime = Literal["I", "II"]

_GRID, _DECADES = 4000, 10  # points of the search for parts, below the largest possible eigenvalue
_EMPTY = 1e-6  # y ρ(y) below this is no part of the support
_NODES = 160  # of an interval, and as many a unit of its logarithm
_TOLERANCE = 2e-3  # of the total mass, and of the place where bulk 2 begins


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval of the support.

    Attributes:
        low: lower edge λ.
        high: upper edge λ.
        mass: fraction of all p eigenvalues in it.
        mean: their mean λ.
    """

    low: float
    high: float
    mass: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """A group of eigenvalues.

    Attributes:
        name: "delta", "bulk 1", "bulk 2", or "bulks 1 and 2" where no gap of the support separates them.
        mass: their fraction of all p eigenvalues.
        mean: their mean λ.
        intervals: ascending, at least one; that of a delta mass is a point.
    """

    name: str
    mass: float
    mean: float
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class FeatureSpectrum:
    """Density, supports and masses of an ensemble; see `feature_spectrum`."""

    ensemble: Ensemble

    @property
    def regime(self) -> Regime:
        """I: n < p, overparameterised; II: n ≥ p."""
        return "I" if self.ensemble.psi_n < self.ensemble.psi_p else "II"

    @property
    def delta_mass(self) -> float:
        """Fraction of eigenvalues that equal s²: 1 − rank(U − s²)/p, the ranks of W and Ω counted."""
        ensemble = self.ensemble
        d_part = 1.0 if ensemble.b2 > 0 or ensemble.c2 > 0 else 0.0  # directions that W spans, in units of d
        if ensemble.b2 == 0 and ensemble.v2 == 0:
            d_part = min(1.0, ensemble.psi_n)
        n_part = ensemble.psi_n if ensemble.v2 > 0 else 0.0
        if ensemble.b2 == 0 and ensemble.v2 > 0:
            d_part = 0.0  # W X' adds nothing to the n columns of Ω
        return max(0.0, 1 - (d_part + n_part) / ensemble.psi_p)

    def density(self, eigenvalues: ArrayLike) -> Floats:
        """ρ(λ) without the delta mass; 0 for λ ≤ s².

        Args:
            eigenvalues: λ, any order, (M,).

        Raises:
            TheoryError: the equations could not be solved at one of them.
        """
        y = np.asarray(eigenvalues, np.float64) - self.ensemble.s2
        places, back = np.unique(y, return_inverse=True)
        rho, above = np.zeros_like(places), places > 0
        rho[above] = solve(self.ensemble, places[above]).q.imag / math.pi
        return np.where(self._inside(y), rho[back], 0.0)

    def cdf(self, eigenvalues: ArrayLike) -> Floats:
        """Fraction of eigenvalues ≤ λ, (M,), including the delta mass."""
        at = np.asarray(eigenvalues, np.float64)
        total = np.where(at >= self.ensemble.s2, self.delta_mass, 0.0)
        for y, cumulative, _ in self._integrals:
            total += np.interp(at - self.ensemble.s2, y, cumulative)
        return total

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All parts, by ascending λ.

        Raises:
            TheoryError: the masses do not add up to 1.
        """
        s2 = self.ensemble.s2
        intervals = [
            Interval(low=s2 + y[0], high=s2 + y[-1], mass=mass[-1], mean=s2 + first / mass[-1])
            for y, mass, first in self._integrals
        ]
        delta = self.delta_mass
        total = delta + sum(interval.mass for interval in intervals)
        if abs(total - 1) > _TOLERANCE:
            raise TheoryError(f"the masses of the spectrum add up to {total:.5f}, not to 1; {self.ensemble}")
        parts = []
        if delta > 0:
            parts.append(_part("delta", [Interval(low=s2, high=s2, mass=delta, mean=s2)]))
        upper = min(1.0, 1 / self.ensemble.psi_p)
        above = (
            1 - delta - np.cumsum([0.0] + [interval.mass for interval in intervals])
        )  # mass above each gap
        begin = int(np.argmin(abs(above - upper)))
        if abs(above[begin] - upper) > _TOLERANCE * max(upper, 0.1):
            return (*parts, _part("bulks 1 and 2", intervals))
        if begin:
            parts.append(_part("bulk 1", intervals[:begin]))
        return (*parts, _part("bulk 2", intervals[begin:]))

    def part(self, name: str) -> Part | None:
        """The part of a name, None if there is none."""
        return next((part for part in self.parts if part.name == name), None)

    def _inside(self, y: Floats) -> NDArray[np.bool_]:
        low, high = self._edges
        below: NDArray[np.bool_] = np.searchsorted(low, y, "right") > np.searchsorted(high, y, "left")
        return below

    @cached_property
    def _edges(self) -> tuple[Floats, Floats]:
        """Lower and upper ends y of the intervals of the support, each (I,) ascending."""
        ensemble = self.ensemble
        wishart = (1 + math.sqrt(ensemble.psi_p)) ** 2
        covariance = ensemble.c2 * ensemble.sigma.max() * wishart + ensemble.v2
        top = 1.2 * (
            ensemble.b2 * wishart + covariance * (1 + math.sqrt(ensemble.psi_p / ensemble.psi_n)) ** 2
        )
        y = np.geomspace(top * 10.0**-_DECADES, top, _GRID)
        full = self._full(y)
        change = np.flatnonzero(np.diff(full))
        rises = full[change + 1]
        edges = self._bisected(y[change], y[change + 1], rises)
        low, high = edges[rises], edges[~rises]
        if full[0]:  # up to s² itself, as for p = n + d
            low = np.concatenate([y[:1], low])
        return low, high

    def _full(self, y: Floats) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = y * solve(self.ensemble, y).q.imag > math.pi * _EMPTY
        return inside

    def _bisected(self, left: Floats, right: Floats, rises: NDArray[np.bool_]) -> Floats:
        """Edges between neighbours of which one is in the support, in ln y to 1e-7."""
        left, right = left.copy(), right.copy()
        for _ in range(16):
            middle = np.sqrt(left * right)
            lower = self._full(middle) == rises  # the edge lies below the middle
            right[lower], left[~lower] = middle[lower], middle[~lower]
        return np.sqrt(left * right)

    @cached_property
    def _integrals(self) -> list[tuple[Floats, Floats, float]]:
        """Of each interval: nodes y, mass up to each of them, and ∫ y ρ.

        With ln y = centre − half·cos φ the square roots at the edges become smooth and periodic, and the
        trapezoid rule converges faster than any power of the step.
        """
        nodes = []
        for low, high in zip(*self._edges, strict=True):
            count = _NODES + round(_NODES * math.log(high / low))
            phi = np.linspace(0, math.pi, count)
            half = math.log(high / low) / 2
            nodes.append((math.sqrt(low * high) * np.exp(-half * np.cos(phi)), half * np.sin(phi), phi))
        integrals = []
        rho = solve(self.ensemble, np.concatenate([y for y, _, _ in nodes])).q.imag / math.pi
        for y, slope, phi in nodes:
            own, rho = rho[: len(y)], rho[len(y) :]
            integrand = own * y * slope  # of dφ
            steps = (integrand[1:] + integrand[:-1]) / 2 * np.diff(phi)
            first = float(((y * integrand)[1:] + (y * integrand)[:-1]) @ np.diff(phi) / 2)
            integrals.append((y, np.concatenate([[0.0], np.cumsum(steps)]), first))
        return integrals


def feature_spectrum(
    psi_p: float, psi_n: float, constants: FeatureConstants, variances: ArrayLike
) -> FeatureSpectrum:
    """The spectrum of U for a covariance of the data.

    Args:
        psi_p: p/d, above 0.
        psi_n: n/d, above 0.
        constants: of the activation at the diffusion time, for the mean of `variances`.
        variances: eigenvalues of Σ, (d,), at least 0; any sample of their distribution.

    Raises:
        SettingError: psi_p or psi_n is not above 0, a variance is negative, or their mean is not that of the
            constants.
    """
    for name, value in (("psi_p", psi_p), ("psi_n", psi_n)):
        if not 0 < value < math.inf:
            raise SettingError(name, value, "a number above 0 is needed")
    values = np.asarray(variances, np.float64)
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0)).all():
        raise SettingError(
            "variances", variances, "finite numbers of at least 0 are needed, in one dimension"
        )
    if not math.isclose(values.mean(), constants.variance, rel_tol=1e-9):
        raise SettingError(
            "variances", values.mean(), f"the constants are of mean variance {constants.variance}"
        )
    sigma, counts = np.unique(values, return_counts=True)
    return FeatureSpectrum(
        Ensemble(
            psi_p=psi_p,
            psi_n=psi_n,
            b2=constants.b**2,
            c2=math.exp(-2 * constants.t) * constants.a**2,
            v2=constants.v2,
            s2=constants.s2,
            sigma=sigma,
            weights=counts / len(values),
        )
    )


def _part(name: str, intervals: list[Interval]) -> Part:
    mass = sum(interval.mass for interval in intervals)
    mean = sum(interval.mass * interval.mean for interval in intervals) / mass
    return Part(name=name, mass=mass, mean=mean, intervals=tuple(intervals))
