"""Spectra of sampled matrices, for comparison with the theory of the random-features spectrum.

U of a drawn training set, exact over the noise, and its Gaussian equivalent with the same weights and another
noise in the place of the non-linearity. Called by the command line and tests; torch-free.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh

from tausweep.jobs.arrays import Floats
from tausweep.jobs.random_features.constants import FeatureConstants
from tausweep.jobs.random_features.moments import train_moments


class DrawnSpectra(NamedTuple):
    """Eigenvalues, (p,) float64 ascending, of U and of its Gaussian equivalent."""

    measured: Floats
    equivalent: Floats


def drawn_spectra(
    p: int, n: int, variances: Floats, constants: FeatureConstants, sigma: str, seed: int
) -> DrawnSpectra:
    """Draw weights and a training set, and take both spectra.

    Args:
        p: features.
        n: training samples.
        variances: (d,) diagonal of Σ.
        constants: of the activation, see `jobs.random_features.constants`.
        sigma: name of the activation.
        seed: seed of all random numbers.
    """
    d, t = len(variances), constants.t
    rng = np.random.default_rng(seed)
    W, x0 = rng.standard_normal((p, d)), rng.standard_normal((n, d)) * np.sqrt(variances)
    noise = rng.standard_normal((p, n))
    G = math.exp(-t) * constants.a / math.sqrt(d) * W @ x0.T + math.sqrt(constants.v2) * noise
    equivalent = G @ G.T / n + constants.b**2 / d * W @ W.T + constants.s2 * np.eye(p)
    measured = train_moments(W, x0, t, sigma).U
    return DrawnSpectra(measured=eigvalsh(measured), equivalent=eigvalsh(equivalent))
