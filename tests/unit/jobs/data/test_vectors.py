"""Vectors drawn from seeds: the moments they were asked for, subsets that do not overlap, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.jobs.data.load import load
from tausweep.jobs.spec.data import GaussianMixture


def mixture(**settings):
    return load(GaussianMixture(data="gaussian_mixture", **({"n": 4000, "d": 3, "mu": 2.0} | settings)), None)


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_each_component_has_its_mean_and_covariance(variance):
    found = mixture(variance=variance)
    for label, sign in ((0, -1), (1, 1)):
        rows = found.train[found.train_labels == label].astype(np.float64)
        assert len(rows) / 4000 == pytest.approx(0.5, abs=0.04)
        np.testing.assert_allclose(rows.mean(0), [sign * 2.0] * 3, atol=0.1)
        np.testing.assert_allclose(np.cov(rows.T), variance * np.eye(3), atol=0.12)


def test_subsets_are_cut_from_one_sequence_as_those_of_images_are():
    whole, second = mixture(n=20), mixture(n=10, subset=1)
    np.testing.assert_array_equal(second.train, whole.train[10:])
    np.testing.assert_array_equal(second.train_labels, whole.train_labels[10:])


def test_the_test_set_is_the_same_for_every_n_and_has_no_training_sample():
    small, large = mixture(n=10), mixture(n=20, subset=2)
    np.testing.assert_array_equal(small.test, large.test)
    assert small.test.shape == (2048, 3)
    assert not set(map(tuple, small.train)) & set(map(tuple, small.test))
