"""Two Gaussians at ±m: the exact score, posterior means and smallest losses of noised points.

x₀ is N(+m, s²I) or N(−m, s²I) with equal chance, m = (μ, …, μ). A noised point is x = αx₀ + σε with standard
normal ε, the same in every objective that mixes data with noise: DDPM has α² + σ² = 1. Given x, means are
tanh-shaped and everything that is not Gaussian lies along m, so that a population loss is one integral in one
dimension. Called by the data loader and by evaluation; knows no network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import scipy
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The distribution ½N(+m, s²I) + ½N(−m, s²I) of points in d dimensions.

    Attributes:
        d: dimensions.
        mu: μ, every coordinate of m.
        variance: s², of each Gaussian along each coordinate.
    """

    d: int
    mu: float
    variance: float

    def score(self, x: Tensor, signal: Tensor | float, noise: Tensor | float) -> Tensor:
        """∇ log p(x) of noised points: −(x − αm tanh(αm·x/v))/v with v = α²s² + σ².

        Args:
            x: noised points αx₀ + σε, (N, d).
            signal: α, a number or (N, 1).
            noise: σ, a number or (N, 1); α and σ are not both 0.

        Returns:
            (N, d), in the dtype of x.
        """
        v = signal**2 * self.variance + noise**2
        return (signal * self.mu * self._tilt(x, signal, v) - x) / v

    def posterior_means(
        self, x: Tensor, signal: Tensor | float, noise: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """E[x₀ | x] and E[ε | x]: the best estimates of the parts of a noised point.

        Within a Gaussian both are linear in x; between the two, m is weighted by tanh(αm·x/v), the difference
        of their probabilities. E[ε | x] = −σ∇ log p(x) (Efron 2011, Tweedie's formula).

        Args:
            x: noised points αx₀ + σε, (N, d).
            signal: α, a number or (N, 1).
            noise: σ, a number or (N, 1); α and σ are not both 0.

        Returns:
            Two tensors (N, d), in the dtype of x.
        """
        v = signal**2 * self.variance + noise**2
        centre = self.mu * self._tilt(x, signal, v)  # E[±m | x], (N, 1)
        residual = x - signal * centre
        return centre + (signal * self.variance / v) * residual, (noise / v) * residual

    def optimal_loss(self, signal: float, noise: float, *, of_data: float, of_noise: float) -> float:
        """Smallest mean squared error per coordinate of any prediction of a·x₀ + b·ε from x = αx₀ + σε.

        The uncertainties of x₀ and of ε given x are one vector, σq and −αq, so the error is (aσ −
        bα)²·E|q|²/d, with E|q|²/d = s²/v + μ²(σ/v)²·E[sech²(w² + wz)], w = α|m|/√v and z standard normal:
        within the Gaussians, and between them along m. It is reached by `posterior_means`.

        Args:
            signal: α.
            noise: σ.
            of_data: a.
            of_noise: b; (0, 1) is noise prediction.
        """
        v = signal**2 * self.variance + noise**2
        w = signal * self.mu * math.sqrt(self.d / v)
        spread = self.variance / v + (self.mu * noise / v) ** 2 * _mean_sech2(w)
        return (of_data * noise - of_noise * signal) ** 2 * spread

    def _tilt(self, x: Tensor, signal: Tensor | float, v: Tensor | float) -> Tensor:
        # Probability of +m minus that of −m given x, (N, 1).
        return torch.tanh(signal * self.mu * x.sum(1, keepdim=True) / v)


def _mean_sech2(w: float) -> float:
    # E[sech²(w² + wz)]: the integrand is within e^(−w²/2) of z = −w, where sech² peaks, and of z = 0.
    def integrand(z: float) -> float:
        return (1 - math.tanh(w * w + w * z) ** 2) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    peak = max(-w, -10.0)
    value, _ = scipy.integrate.quad(integrand, -12, 12, points=[peak, 0.0], epsabs=1e-12, limit=200)
    return float(value)
