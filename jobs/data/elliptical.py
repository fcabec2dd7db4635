"""Elliptical distributions: Gaussian data with a given covariance, and heavy-tailed multivariate t data.

x₀ = r Σ^{1/2} g with g ~ N(0, I) in d dimensions and a separate scale r for each sample: r = 1 is Gaussian,
and r² = (ν − 2)/χ²_ν the multivariate t with ν degrees of freedom, scaled so that its covariance is Σ too. Σ
is diagonal, which makes no difference to a model with Gaussian weights. Expectations are quadratures over r
of Gaussian expectations. Torch-free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # loaded where it is called: most runs draw no elliptical data

from tausweep.jobs.arrays import Floats
from tausweep.storage.errors import SettingError

Covariance = Literal["identity", "two_point", "power_law"]

_SCALES = 96  # nodes of the quadrature over r
_RADII = 400  # nodes of the quadrature over |x_t|


@dataclass(frozen=True, kw_only=True)
class Elliptical:
    """A distribution and its quadrature over the scale.

    Attributes:
        variances: (d,) float64, the diagonal of Σ.
        nu: degrees of freedom ν > 2 of the multivariate t; None for Gaussian.
        scales: (S,) float64, nodes r.
        weights: (S,) float64, their probabilities, sum 1.
    """

    variances: Floats
    nu: float | None
    scales: Floats
    weights: Floats

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Samples (count, d), float64: the first ones of a larger draw from the same generator state."""
        directions, radii = rng.spawn(2)
        x = directions.standard_normal((count, len(self.variances))) * np.sqrt(self.variances)
        if self.nu is None:
            return x
        return x * np.sqrt((self.nu - 2) / radii.chisquare(self.nu, count))[:, None]

    def score_square(self, signal: float, noise: float) -> float:
        """E‖∇ log P(x)‖²/d of x = signal·x₀ + √noise·z; the mean square of the score that is to be learned.

        Args:
            signal: factor of the sample, such as e^{−t}.
            noise: variance of the noise, such as Δ_t.

        Raises:
            SettingError: a multivariate t whose Σ is not a multiple of the identity: its score has no
                quadrature in one dimension.
        """
        gamma = signal**2 * np.outer(self.scales**2, self.variances) + noise  # (S, d)
        if len(self.scales) == 1:
            return float((1 / gamma[0]).mean())
        if np.ptp(self.variances):
            raise SettingError("nu", self.nu, "the exact score of t data needs covariance = identity")
        return _radial_score_square(gamma[:, 0], self.weights, len(self.variances))


def gaussian(variances: Floats) -> Elliptical:
    """N(0, Σ) with the diagonal (d,) of Σ."""
    return Elliptical(variances=variances, nu=None, scales=np.ones(1), weights=np.ones(1))


def student_t(variances: Floats, nu: float) -> Elliptical:
    """The multivariate t with ν > 2 degrees of freedom and covariance Σ, diag (d,).

    The scale's quadrature is the trapezoid rule in ln u, u = χ²_ν/2: the integrand dies out at both ends, so
    the rule converges faster than any power of its step.
    """
    if nu <= 2:
        raise SettingError("nu", nu, "above 2 is needed, or the data have no covariance")
    a = nu / 2
    edges = np.log(scipy.special.gammaincinv(a, 1e-14)), np.log(scipy.special.chdtri(nu, 1e-17) / 2)
    log_u = np.linspace(*edges, _SCALES)
    weights = np.exp(a * log_u - np.exp(log_u) - scipy.special.gammaln(a))
    return Elliptical(
        variances=variances,
        nu=nu,
        scales=np.sqrt((nu - 2) / 2) * np.exp(-log_u / 2),
        weights=weights / weights.sum(),
    )


def spectrum(
    kind: Covariance, d: int, *, low: float = 0.5, high: float = 1.5, exponent: float = 1.0
) -> Floats:
    """The diagonal of Σ, (d,) float64.

    Args:
        kind: identity; two_point, half of the directions (rounded up) with variance `low` and the others with
            `high`; power_law, i^{−exponent} for i = 1 … d, scaled to mean variance 1.
        d: dimension.
        low: smaller variance of two_point.
        high: larger variance of two_point.
        exponent: of power_law.
    """
    if kind == "identity":
        return np.ones(d)
    if kind == "two_point":
        return np.where(np.arange(d) < (d + 1) // 2, low, high).astype(np.float64)
    decay = np.arange(1, d + 1, dtype=np.float64) ** -exponent
    scaled: Floats = decay / decay.mean()
    return scaled


def _radial_score_square(gamma: Floats, weights: Floats, d: int) -> float:
    """E‖∇ log P‖²/d for P = Σ_s w_s N(0, γ_s I): by radius, ∇ log P(x) = −x Σ_s P(s|x)/γ_s.

    Args:
        gamma: (S,) variances of the components.
        weights: (S,) their probabilities.
        d: dimension.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(_RADII)
    # Each component's |x|² is γ_s χ²_d; between its far quantiles the density is smooth in ln |x|².
    low, high = np.log(2 * scipy.special.gammaincinv(d / 2, 1e-16)), np.log(scipy.special.chdtri(d, 1e-18))
    log_q = low + (nodes + 1) / 2 * (high - low)
    density = np.exp(d / 2 * log_q - np.exp(log_q) / 2 - d / 2 * math.log(2) - scipy.special.gammaln(d / 2))
    probability = density * node_weights * (high - low) / 2  # (R,)
    squares = gamma[:, None] * np.exp(log_q)  # (S, R) |x|² drawn from component s
    log_p = np.log(weights)[:, None, None] - d / 2 * np.log(gamma)[:, None, None]
    log_p = log_p - squares / (2 * gamma[:, None, None])  # (S', S, R): of component s' at that radius
    posterior = np.exp(log_p - scipy.special.logsumexp(log_p, axis=0))
    inverse = (posterior / gamma[:, None, None]).sum(axis=0)  # (S, R)
    return float(weights @ ((squares * inverse**2) @ probability) / d)
