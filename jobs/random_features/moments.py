"""The random-features score model and the expectations that its training needs, exact over the noise.

s_A(x) = A σ(W x / √d) / √p with W (p, d) standard Gaussian and fixed, A (d, p) trained (Bonnaire et al. 2025,
arXiv:2505.17638, sec. 4). Training at one diffusion time t of x_t = e^{−t} x₀ + √Δ_t z, Δ_t = 1 − e^{−2t}, z
~ N(0, I), sees the data only through

    U = E[σ σᵀ]  (p, p)   and   V = E[σ zᵀ]  (p, d),   σ = σ(W x_t / √d),

E over z and over the training samples (or the distribution they are from). No Monte Carlo: given x₀, the
arguments of two features are Gaussian with a known correlation, and E[σ_i σ_j] is its Hermite series
(Mehler's formula). U has no factor 1/p: its eigenvalues are those of the paper. Called by the trainee, by the
spectrum theory and by tests; torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # scipy.special is loaded where it is called: most runs have no random features

from tausweep.jobs.arrays import Floats
from tausweep.jobs.data.elliptical import Elliptical
from tausweep.storage.errors import SettingError, nearest


def _erf(x: Floats) -> Floats:
    values: Floats = scipy.special.erf(x)
    return values


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"tanh": np.tanh, "erf": _erf}

_ORDERS = 100  # of Hermite polynomials at most
_REACH = 13.0  # standard deviations to which quadratures go
_FINEST = 0.01  # smallest step of a quadrature
_TOLERANCE = 1e-15  # of a term of the series beside the mean of σ²
_CHUNK = 2**23  # activations computed at once; bounds memory


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The moments of a distribution that score matching depends on.

    Attributes:
        U: (p, p) float64, E[σ σᵀ], positive semi-definite.
        V: (p, d) float64, E[σ zᵀ].
    """

    U: Floats
    V: Floats


def activation(name: str) -> Callable[[Floats], Floats]:
    """σ by its name.

    Raises:
        SettingError: there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise SettingError("activation", name, nearest(name, ACTIVATIONS))
    return ACTIVATIONS[name]


def noise_variance(t: float) -> float:
    """Δ_t = 1 − e^{−2t}, the variance of the noise at diffusion time t > 0."""
    return -math.expm1(-2 * t)


def train_moments(W: Floats, x0: Floats, t: float, sigma: str) -> Moments:
    """U and V of a training set: the mean over its samples of the exact expectation over z.

    Args:
        W: (p, d) weights.
        x0: (n, d) training samples.
        t: diffusion time, above 0.
        sigma: name of the activation.
    """
    d = W.shape[1]
    means = math.exp(-t) * W @ x0.T.astype(np.float64) / math.sqrt(d)  # (p, n)
    return _moments(W, means, noise_variance(t) / d * (W @ W.T), np.sqrt(noise_variance(t)) * W, sigma)


def population_moments(W: Floats, data: Elliptical, t: float, sigma: str) -> Moments:
    """U and V of the distribution itself, what infinitely many test samples would give.

    A mixture over the scale r of Gaussians N(0, r² Σ): given r, x_t ~ N(0, Γ) with Γ = r² e^{−2t} Σ + Δ_t I.

    Args:
        W: (p, d) weights.
        data: where the samples are from.
        t: diffusion time, above 0.
        sigma: name of the activation.
    """
    p, d = W.shape
    U, V = np.zeros((p, p)), np.zeros((p, d))
    spread, plain = (W * data.variances) @ W.T, W @ W.T
    for scale, weight in zip(data.scales, data.weights, strict=True):
        gamma = (math.exp(-2 * t) * scale**2 * spread + noise_variance(t) * plain) / d
        at_scale = _moments(W, np.zeros((p, 1)), gamma, np.sqrt(noise_variance(t)) * W, sigma)
        U += weight * at_scale.U
        V += weight * at_scale.V
    return Moments(U=U, V=V)


def _moments(W: Floats, means: Floats, covariance: Floats, noise: Floats, sigma: str) -> Moments:
    """U and V where the features' arguments are Gaussian.

    With g_i standard normal, h_i = m_i + s_i g_i and corr(g_i, g_j) = ρ_ij: E[σ(h_i) σ(h_j)] = Σ_k a_ik a_jk
    ρ_ij^k and E[σ(h_i) z] = a_i1 cov(g_i, z), a_ik = E[σ(h_i) He_k(g_i)] / √k!.

    Args:
        W: (p, d) weights.
        means: (p, n) of the arguments, one column a component.
        covariance: (p, p) of the arguments, the same for all components.
        noise: (p, d) √d times the covariance of the arguments and z.
        sigma: name of the activation.
    """
    p, n = means.shape
    deviations = np.sqrt(np.diag(covariance))  # (p,)
    rho = np.clip(covariance / np.outer(deviations, deviations), -1, 1)
    apart = np.abs(rho - np.diag(np.diag(rho))).max()
    nodes, weighted = _hermite_rule(float(deviations.max()))
    U, squares, slope = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    step = max(1, _CHUNK // (p * len(nodes)))
    for start in range(0, n, step):
        arguments = means[:, start : start + step, None] + deviations[:, None, None] * nodes
        values = activation(sigma)(arguments)  # (p, step, nodes)
        left = values**2 @ weighted[0]  # of E[σ²] after the terms so far; (p, step)
        squares += left.sum(axis=1)
        power = np.ones_like(rho)
        for k, hermite in enumerate(weighted):
            a = values @ hermite  # (p, step)
            U += power * (a @ a.T)
            if k == 1:
                slope += a.sum(axis=1) / deviations
            left = left - a**2
            power *= rho
            if (
                k and apart ** (k + 1) * left.max() < _TOLERANCE * squares.max() / n
            ):  # bounds what is left out
                break
    np.fill_diagonal(U, squares)  # there ρ = 1 and the series is slowest
    return Moments(U=U / n, V=(slope / n)[:, None] * noise / math.sqrt(W.shape[1]))


@lru_cache(maxsize=4)
def _hermite_rule(spread: float) -> tuple[Floats, Floats]:
    """A quadrature for E[f(g) He_k(g)] / √k!, k below `_ORDERS`: nodes (Q,) and weights (orders, Q).

    The trapezoid rule with step h, whose error for tanh(m + s·g), with poles π/(2s) off the real axis, is
    e^{−π²/(s·h)}. Beyond the finest step the error falls like h; only far tails of heavy-tailed data come
    there.

    Args:
        spread: largest s.
    """
    step = max(min(0.3, 0.3 / spread), _FINEST)
    nodes = np.arange(-_REACH, _REACH + step, step)
    basis = np.empty((_ORDERS, len(nodes)))
    basis[0], basis[1] = 1, nodes
    for k in range(2, _ORDERS):
        basis[k] = (nodes * basis[k - 1] - math.sqrt(k - 1) * basis[k - 2]) / math.sqrt(k)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, basis * weights / weights.sum()
