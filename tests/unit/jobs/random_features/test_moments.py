"""The expectations of the random-features model against plain double quadrature, closed forms and samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.jobs.data.elliptical import gaussian, spectrum, student_t
from tausweep.jobs.random_features.moments import (
    ACTIVATIONS,
    noise_variance,
    population_moments,
    train_moments,
)
from tausweep.jobs.spec.model import features
from tausweep.storage.errors import SettingError

T = 0.4


def weights(p: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((p, d))


def double_quadrature(w: np.ndarray, x0: np.ndarray, t: float, sigma: str) -> tuple[np.ndarray, np.ndarray]:
    """E over z of σσᵀ and σzᵀ for p = d = 2, by a product rule over the two components of z."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(140)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.outer(mass, mass).ravel() / (2 * math.pi)
    x = math.exp(-t) * x0 + math.sqrt(1 - math.exp(-2 * t)) * z
    values = ACTIVATIONS[sigma](x @ w.T / math.sqrt(2))
    return np.einsum("q,qi,qj->ij", mass, values, values), np.einsum("q,qi,qj->ij", mass, values, z)


@pytest.mark.parametrize("sigma", sorted(ACTIVATIONS))
@pytest.mark.parametrize("t", [0.01, 0.4, 2.0])
def test_expectations_over_noise_equal_a_double_quadrature(sigma: str, t: float) -> None:
    w, x0 = weights(2, 2), np.random.default_rng(1).standard_normal((3, 2))
    found = train_moments(w, x0, t, sigma)
    U, V = (
        np.mean(part, axis=0) for part in zip(*(double_quadrature(w, x, t, sigma) for x in x0), strict=True)
    )
    np.testing.assert_allclose(found.U, U, atol=1e-10)
    np.testing.assert_allclose(found.V, V, atol=1e-10)


def test_population_moments_of_erf_are_the_arcsine_law() -> None:
    # Williams 1997: E[erf(u) erf(v)] = 2/π asin(2 C_uv / √((1 + 2 C_uu)(1 + 2 C_vv))).
    w, variances = weights(12, 4), spectrum("two_point", 4)
    c = w @ np.diag(math.exp(-2 * T) * variances + noise_variance(T)) @ w.T / 4
    scale = np.sqrt(1 + 2 * np.diag(c))
    found = population_moments(w, gaussian(variances), T, "erf")
    np.testing.assert_allclose(found.U, 2 / math.pi * np.arcsin(2 * c / np.outer(scale, scale)), atol=1e-12)
    slope = 2 / math.sqrt(math.pi) / scale  # E[erf'(h)]; then Stein's lemma
    np.testing.assert_allclose(found.V, slope[:, None] * w * math.sqrt(noise_variance(T) / 4), atol=1e-12)


@pytest.mark.parametrize("nu", [None, 4.0])
def test_a_large_training_set_approaches_the_population(nu: float | None) -> None:
    w, variances = weights(6, 5), spectrum("power_law", 5)
    data = gaussian(variances) if nu is None else student_t(variances, nu)
    seen = train_moments(w, data.draw(5_000, np.random.default_rng(2)), T, "tanh")
    expected = population_moments(w, data, T, "tanh")
    np.testing.assert_allclose(seen.U, expected.U, atol=6 / math.sqrt(5_000))
    np.testing.assert_allclose(seen.V, expected.V, atol=6 / math.sqrt(5_000))


def test_population_moments_of_t_data_mix_the_arcsine_law_over_the_scale() -> None:
    w, d = weights(5, 3), 3
    data = student_t(np.ones(d), 5.0)
    chi = np.random.default_rng(3).chisquare(5.0, 400_000)
    c = w @ w.T / d
    factor = math.exp(-2 * T) * 3 / chi + noise_variance(T)
    ratio = 2 * c[0, 1] * factor / np.sqrt((1 + 2 * c[0, 0] * factor) * (1 + 2 * c[1, 1] * factor))
    values = 2 / math.pi * np.arcsin(ratio)
    found = population_moments(w, data, T, "erf").U[0, 1]
    assert abs(found - values.mean()) < 5 * values.std() / math.sqrt(len(values))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 5), st.floats(0.01, 3), st.integers(0, 99))
def test_u_is_a_covariance_that_bounds_v(p: int, d: int, n: int, t: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = train_moments(rng.standard_normal((p, d)), rng.standard_normal((n, d)), t, "tanh")
    # (σ, z) has the second moments [[U, V], [Vᵀ, I]]: no part of them may be negative.
    joint = np.block([[found.U, found.V], [found.V.T, np.eye(d)]])
    assert np.linalg.eigvalsh(joint).min() > -1e-9
    assert np.trace(found.U) <= p


def test_features_are_a_whole_multiple() -> None:
    assert features(2.5, 30) == 75
    with pytest.raises(
        SettingError, match=r"psi_p = 2\.5: .*d = 5 it is 12\.5; the nearest psi_p are 2\.4 and 2\.6"
    ):
        features(2.5, 5)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(SettingError, match="did you mean 'tanh'"):
        train_moments(weights(2, 2), np.ones((1, 2)), T, "tan")
