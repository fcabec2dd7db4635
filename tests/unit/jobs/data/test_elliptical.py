"""Gaussian and heavy-tailed data: their draws, covariance spectra and the mean square of their scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_t

from tausweep.jobs.data.elliptical import gaussian, spectrum, student_t
from tausweep.storage.errors import SettingError


def test_covariance_spectra_have_mean_one() -> None:
    for kind in ("identity", "two_point", "power_law"):
        assert spectrum(kind, 10).mean() == pytest.approx(1)
    np.testing.assert_allclose(
        spectrum("power_law", 4, exponent=2.0) * 205 / 144 / 4, [1, 1 / 4, 1 / 9, 1 / 16]
    )
    assert spectrum("two_point", 5, low=0.2, high=3).tolist() == [0.2, 0.2, 0.2, 3, 3]


@pytest.mark.parametrize("nu", [None, 6.0])
def test_draws_have_the_covariance(nu: float | None) -> None:
    variances = spectrum("two_point", 4)
    data = gaussian(variances) if nu is None else student_t(variances, nu)
    x = data.draw(100_000, np.random.default_rng(0))
    np.testing.assert_allclose(x.T @ x / len(x), np.diag(variances), atol=0.06)


def test_the_quadrature_over_the_scale_is_the_multivariate_t() -> None:
    nu, d = 4.0, 3
    data = student_t(np.ones(d), nu)
    radii = np.array([0.0, 0.5, 2.0, 8.0])
    mixture = [
        (
            data.weights * np.exp(-(r**2) / (2 * data.scales**2)) / (2 * math.pi * data.scales**2) ** (d / 2)
        ).sum()
        for r in radii
    ]
    exact = multivariate_t(shape=np.eye(d) * (nu - 2) / nu, df=nu).pdf(np.outer(radii, [1, 0, 0]))
    np.testing.assert_allclose(mixture, exact, rtol=1e-7)


def test_mean_square_score_of_gaussian_data() -> None:
    found = gaussian(np.array([0.5, 1.5])).score_square(0.9, 0.2)
    assert found == pytest.approx((1 / (0.81 * 0.5 + 0.2) + 1 / (0.81 * 1.5 + 0.2)) / 2)


def test_mean_square_score_of_t_data_equals_that_of_samples() -> None:
    d, data, signal, noise = 3, student_t(np.ones(3), 3.0), 0.9, 0.1
    rng = np.random.default_rng(1)
    x = signal * data.draw(4_000, rng) + math.sqrt(noise) * rng.standard_normal((4_000, d))
    gamma = signal**2 * data.scales**2 + noise
    density = data.weights / gamma ** (d / 2) * np.exp(-(x**2).sum(axis=1)[:, None] / (2 * gamma))
    score = -x * ((density / gamma).sum(axis=1) / density.sum(axis=1))[:, None]
    squares = (score**2).mean(axis=1)
    assert abs(data.score_square(signal, noise) - squares.mean()) < 5 * squares.std() / math.sqrt(len(x))


def test_t_data_with_few_degrees_of_freedom_or_no_symmetry_are_refused() -> None:
    with pytest.raises(SettingError, match=r"nu = 2\.0: above 2"):
        student_t(np.ones(3), 2.0)
    with pytest.raises(SettingError, match="identity"):
        student_t(spectrum("two_point", 4), 3.0).score_square(0.9, 0.1)
