"""The Fréchet distance against the textbook's matrix root, torch-fidelity and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from tausweep.jobs.quality.frechet import Gaussian, distance
from tausweep.storage.errors import RunError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def frechet(a, b):
    return distance(Gaussian.of(a), Gaussian.of(b))


def textbook(a, b):
    """Dowson & Landau's formula as it is written, with a general matrix square root."""
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)


def torch_fidelity(a, b):
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


def exact(rng, count, mean, scales, basis):
    """Rows whose sample mean is `mean` and whose covariance is basis · diag(scales²) · basisᵀ."""
    columns = np.column_stack([np.ones(count), rng.normal(size=(count, len(scales)))])
    white = np.linalg.qr(columns)[0][:, 1:] * np.sqrt(count - 1)  # orthonormal, and orthogonal to a constant
    return white * scales @ basis.T + mean


@pytest.mark.parametrize("dims", [1, 3, 24])
def test_it_is_the_textbook_formula_and_torch_fidelitys(rng, dims):
    a = rng.normal(size=(60, dims)) @ rng.normal(size=(dims, dims)) + rng.normal(size=dims)
    b = rng.normal(size=(45, dims)) @ rng.normal(size=(dims, dims))
    if dims > 1:
        assert frechet(a, b) == pytest.approx(textbook(a, b), rel=1e-9)
        assert frechet(a, b) == pytest.approx(torch_fidelity(a, b), rel=1e-9)
    else:
        expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
        assert frechet(a, b) == pytest.approx(expected, rel=1e-12)


def test_ill_conditioned_covariances_keep_their_small_directions(rng):
    dims, count = 20, 50
    basis = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
    small = np.geomspace(
        1, 1e-9, dims
    )  # variances from 1 to 1e-18: the covariance itself is singular in float64
    a, b = exact(rng, count, 0, small, basis), exact(rng, count, 0, 2 * small, basis)
    assert frechet(a, b) == pytest.approx(np.sum(small**2), rel=1e-12)
    # Two Gaussians that differ only where the variance is below the rounding of the largest.
    shifted = small.copy()
    shifted[-10:] *= 3
    expected = np.sum((shifted - small) ** 2)
    assert frechet(a, exact(rng, count, 0, shifted, basis)) == pytest.approx(expected, abs=1e-14)
    assert abs(torch_fidelity(a, exact(rng, count, 0, shifted, basis)) - expected) > 1e-9


@pytest.mark.parametrize(("first", "second"), [(8, 9), (8, 200), (200, 8), (2, 2)])
def test_fewer_samples_than_dimensions_are_the_limit_of_full_rank(rng, first, second):
    dims = 40
    a, b = rng.normal(size=(first, dims)), 2 * rng.normal(size=(second, dims)) + 1
    found = frechet(a, b)
    covariances = [np.cov(x.T) for x in (a, b)]
    mean = np.sum((a.mean(0) - b.mean(0)) ** 2)
    # tr (S_a S_b)^½ = tr (S_a^½ S_b S_a^½)^½, by eigenvalues of symmetric matrices.
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    assert found == pytest.approx(mean + sum(map(np.trace, covariances)) - 2 * overlap, rel=1e-6)


def test_a_collapsed_model_is_measured(rng):
    a, b = rng.normal(size=(40, 4)), np.ones((40, 4))
    assert frechet(a, b) == pytest.approx(np.sum((a.mean(0) - 1) ** 2) + np.trace(np.cov(a.T)))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    dims=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
)
def test_it_is_a_squared_distance(counts, dims, seed, scale):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(count, dims)) * rng.gamma(1, size=dims) for count in counts)
    rotation = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
    found = frechet(a, b)
    assert found >= 0
    assert found == pytest.approx(frechet(b, a), rel=1e-9, abs=1e-12)
    assert frechet(a, a[::-1]) == pytest.approx(0, abs=1e-11)
    assert frechet(scale * a @ rotation + 5, scale * b @ rotation + 5) == pytest.approx(
        scale**2 * found, rel=1e-6, abs=1e-9 * scale**2
    )


def test_one_row_has_no_covariance(rng):
    with pytest.raises(ValueError, match="1 rows of features"):
        Gaussian.of(rng.normal(size=(1, 4)))


def test_features_that_are_not_finite_are_refused(rng):
    features = rng.normal(size=(9, 2))
    features[3, 1] = np.nan
    with pytest.raises(RunError, match="1 of 9"):
        Gaussian.of(features)


def test_the_features_are_left_alone(rng):
    features = rng.normal(size=(9, 2))
    before = features.copy()
    Gaussian.of(features)
    np.testing.assert_array_equal(features, before)
