"""The four constants by which a non-linearity enters the random-features theory, by quadrature.

Called by the spectrum theory and its timescales; numpy only. With x_t = e^{-t} x + √Δ_t z, Δ_t = 1 − e^{-2t},
an argument w·x_t/√d of the features is Gaussian of variance Γ² = e^{-2t} m + Δ_t, where m = tr Σ / d.
Bonnaire et al., arXiv:2505.17638, Lemma on the Gaussian equivalence of U, for general m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tausweep.jobs.random_features.moments import activation, noise_variance
from tausweep.storage.errors import SettingError

_NODES, _REACH = 1001, 10.0
# The trapezoid rule: σ is analytic, so the error is e^{−2π·pole/step}; tanh(Γ g) has its pole at iπ/(2Γ), and
# Γ = 10 still gives 1e-21. Gauss–Hermite with 160 nodes loses s² at Γ = 3.


@dataclass(frozen=True, kw_only=True)
class FeatureConstants:
    """Constants of the Gaussian equivalent U ≈ G Gᵀ/n + b² W Wᵀ/d + s² I, G = e^{-t} a W X'/√d + v Ω.

    Attributes:
        t: diffusion time.
        variance: m = tr Σ / d.
        a: a_t = E[σ'(Γ g)] = E[g σ(Γ g)] / Γ.
        b: b_t = E[v σ(e^{-t} √m u + √Δ_t v)] = √Δ_t · a_t.
        v2: v_t², the non-linear part that copies of a training point with different noise share:
            E[σ(e^{-t} √m u + √Δ_t v) σ(e^{-t} √m u + √Δ_t w)] − mean² − a_t² e^{-2t} m.
        s2: s_t² = E[σ²(Γ g)] − the same E[σ σ] − b_t².
        mean: E[σ(Γ g)]: 0 for odd σ; otherwise U has one eigenvalue of order p more, outside of the theory.
    """

    t: float
    variance: float
    a: float
    b: float
    v2: float
    s2: float
    mean: float


def feature_constants(sigma: str, t: float, variance: float = 1.0) -> FeatureConstants:
    """The constants at a diffusion time.

    Args:
        sigma: name of the activation.
        t: diffusion time, above 0.
        variance: m = tr Σ / d, above 0.

    Raises:
        SettingError: unknown activation, or t or variance is not above 0 and finite.
    """
    function = activation(sigma)
    for name, value in (("t", t), ("variance", variance)):
        if not 0 < value < math.inf:
            raise SettingError(name, value, "a number above 0 is needed")
    delta = noise_variance(t)
    signal = math.exp(-t) * math.sqrt(variance)
    scale = math.hypot(signal, math.sqrt(delta))
    g = np.linspace(-_REACH, _REACH, _NODES)
    weights = np.exp(-(g**2) / 2)
    weights /= weights.sum()
    values = function(scale * g)
    mean, square = float(weights @ values), float(weights @ values**2)
    a = float(weights @ (g * values)) / scale
    averaged = function(signal * g[:, None] + math.sqrt(delta) * g) @ weights  # over the noise, for each u
    shared = float(weights @ averaged**2)
    # What rounding leaves of a difference that is 0 is no variance.
    v2, s2 = (
        rest if rest > 1e-13 * square else 0.0
        for rest in (shared - mean**2 - (a * signal) ** 2, square - shared - delta * a**2)
    )
    return FeatureConstants(t=t, variance=variance, a=a, b=math.sqrt(delta) * a, v2=v2, s2=s2, mean=mean)
