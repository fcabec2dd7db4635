"""frechet_pca: principal components and the distance of two Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from tausweep.jobs.quality.pixel_pca import PixelPCA, frechet_distance
from tausweep.storage.errors import DataError, RunError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def textbook_frechet(a, b):
    """Dowson & Landau's formula as it is written, with a general matrix square root."""
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)


def with_moments(rows, mean, root):
    """Shift and shape rows so that their sample mean and covariance are exactly `mean` and root·rootᵀ."""
    centred = rows - rows.mean(0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(centred.T)), centred.T).T
    return white @ root.T + mean


@pytest.mark.parametrize("dims", [2, 5, 16])
def test_frechet_distance_agrees_with_the_general_matrix_root(rng, dims):
    a = rng.normal(size=(60, dims)) @ rng.normal(size=(dims, dims))
    b = rng.normal(size=(90, dims)) @ rng.normal(size=(dims, dims)) + rng.normal(size=dims)
    assert frechet_distance(a, b) == pytest.approx(textbook_frechet(a, b), rel=1e-8)


def test_gaussians_with_commuting_covariances_have_a_closed_form(rng):
    a = with_moments(rng.normal(size=(50, 3)), np.array([0.0, 0.0, 0.0]), np.diag([1.0, 2.0, 3.0]))
    b = with_moments(rng.normal(size=(50, 3)), np.array([1.0, 0.0, 2.0]), np.diag([4.0, 2.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx((1 + 4) + (3**2 + 0 + 2**2))


def test_one_feature_has_a_closed_form(rng):
    a, b = rng.normal(size=(40, 1)), 3 * rng.normal(size=(40, 1)) + 1
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_frechet_distance_of_equal_features_is_zero(rng):
    a = rng.normal(size=(40, 8))
    assert 0 <= frechet_distance(a, a) < 1e-12


def test_frechet_distance_is_symmetric(rng):
    a, b = rng.normal(size=(40, 4)), 2 * rng.normal(size=(30, 4))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_samples_that_collapsed_to_a_point_are_measured(rng):
    a, b = rng.normal(size=(40, 4)), np.ones((40, 4))
    expected = np.sum((a.mean(0) - 1) ** 2) + np.trace(np.cov(a.T))
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_too_few_rows_for_a_covariance_are_refused(rng):
    with pytest.raises(ValueError, match=r"4 rows of 4 features.*at least 5"):
        frechet_distance(rng.normal(size=(9, 4)), rng.normal(size=(4, 4)))


def test_features_that_are_not_finite_are_refused(rng):
    features = rng.normal(size=(9, 2))
    features[3, 1] = np.nan
    with pytest.raises(RunError, match="1 of 9"):
        frechet_distance(features, features)


@pytest.mark.parametrize("shape", [(200, 1, 4, 4), (12, 3, 4, 4)], ids=["more images", "more pixels"])
def test_components_are_the_right_singular_vectors(rng, shape):
    images = rng.normal(size=shape)
    pca = PixelPCA.fit(images, dims=5)
    rows = images.reshape(len(images), -1)
    _, singular, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(pca.components * vectors[:5], axis=1)), 1, rtol=1e-9)
    assert pca.scale == pytest.approx(np.sqrt(np.sum(singular[:5] ** 2) / (len(rows) - 1)))


def test_the_largest_entry_of_each_component_is_positive(rng):
    components = PixelPCA.fit(rng.normal(size=(50, 1, 4, 4)), dims=8).components
    assert (np.abs(components).max(1) == components.max(1)).all()


def test_features_are_coordinates_in_units_of_the_scale(rng):
    images = rng.normal(size=(50, 1, 3, 3))
    pca = PixelPCA.fit(images, dims=9)  # all of them: nothing is lost
    rows = images.reshape(50, 9)
    np.testing.assert_allclose(pca.transform(images) @ pca.components * pca.scale + rows.mean(0), rows)


def test_the_variance_of_all_features_of_the_fitted_images_is_one(rng):
    images = 7 * rng.normal(size=(50, 1, 4, 4))
    features = PixelPCA.fit(images, dims=6).transform(images)
    assert features.var(axis=0, ddof=1).sum() == pytest.approx(1)


def test_the_pixel_scale_does_not_change_features(rng):
    images = rng.normal(size=(50, 1, 4, 4))
    once = PixelPCA.fit(images, dims=6).transform(images)
    np.testing.assert_allclose(PixelPCA.fit(2 * images + 3, dims=6).transform(2 * images + 3), once)


def test_fitting_leaves_the_images_alone(rng):
    images = rng.normal(size=(20, 1, 4, 4))
    before = images.copy()
    PixelPCA.fit(images, dims=3)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("dims", [0, 10, 17])
def test_dims_that_the_images_cannot_span_are_refused(rng, dims):
    with pytest.raises(ValueError, match=f"dims = {dims}: between 1 and 9"):
        PixelPCA.fit(rng.normal(size=(10, 1, 4, 4)), dims=dims)


def test_images_that_are_all_the_same_have_no_components():
    with pytest.raises(DataError, match="all equal"):
        PixelPCA.fit(np.ones((10, 1, 4, 4)), dims=2)


def test_generated_images_that_are_not_finite_are_refused(rng):
    images = rng.normal(size=(10, 1, 4, 4))
    pca = PixelPCA.fit(images, dims=2)
    images[0] = np.inf
    with pytest.raises(RunError, match="1 of 10 images are not finite"):
        pca.transform(images)
