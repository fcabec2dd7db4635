"""Nearest neighbours against broadcasting in float64, and what counts as memorised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.evaluation import nearest_neighbours
from tausweep.jobs.evaluation.gap_ratio import f_mem, memorised
from tausweep.jobs.evaluation.nearest_neighbours import nearest_two
from tausweep.storage.errors import DataError, RunError


def images(count, *, seed, shape=(1, 8, 8)):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def broadcast(samples, train):
    """Two nearest by the definition: every difference, float64, equal distances by index."""
    s = samples.flatten(1).double().numpy()
    x = train.flatten(1).double().numpy()
    distances = np.sqrt(((s[:, None, :] - x[None, :, :]) ** 2).sum(-1))
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    return np.take_along_axis(distances, order, 1), order


def assert_exact(samples, train, **options):
    found = nearest_two(samples, train, **options)
    distances, order = broadcast(samples, train)
    np.testing.assert_array_equal(np.stack([found.nn1, found.nn2], 1), order)
    np.testing.assert_allclose(np.stack([found.d1, found.d2], 1), distances, rtol=1e-12, atol=0)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 300])
@pytest.mark.parametrize("count", [1, 37])
def test_random_images(n, count):
    assert_exact(images(count, seed=0), images(n, seed=1))


@pytest.mark.parametrize("chunk", [1, 3, 64, 1000])
def test_the_answer_does_not_depend_on_the_chunk(chunk):
    assert_exact(images(50, seed=0), images(130, seed=1), chunk=chunk)


def test_images_of_any_shape():
    assert_exact(images(5, seed=0, shape=(3, 2, 5)), images(9, seed=1, shape=(3, 2, 5)))


def test_copies_are_at_distance_zero():
    train = images(100, seed=1)
    assert_exact(train[40:60].clone(), train)
    assert (nearest_two(train, train).d1 == 0).all()


def test_near_copies():
    train = images(100, seed=1)
    assert_exact(train[:20] + 1e-6 * images(20, seed=2), train)


@pytest.mark.parametrize("copies", [2, 3, 4, 10])
def test_of_equal_training_images_the_lowest_indices_win(copies):
    train = images(60, seed=1)
    train[10 : 10 + 5 * copies : 5] = train[50].clone()
    assert_exact(train[50][None] + 0.01 * images(3, seed=2), train, chunk=7)


def test_ties_between_different_images():
    train = torch.eye(40).reshape(40, 1, 5, 8)  # all at the same distance from 0
    found = nearest_two(torch.zeros(2, 1, 5, 8), train, chunk=9)
    assert (found.nn1.tolist(), found.nn2.tolist()) == ([0, 0], [1, 1])
    assert found.d1.tolist() == found.d2.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_a_large_common_offset_does_not_cancel(offset):
    assert_exact(offset + images(30, seed=0), offset + images(200, seed=1))


def test_a_tight_cluster_far_from_the_rest():
    # Its distances are below the rounding of the matrix product: only differences can tell them apart.
    train = torch.cat([images(50, seed=1), 1e6 + torch.randint(-4, 5, (50, 1, 8, 8)) / 8])
    assert_exact(train[-5:] + 1 / 16, train)


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 4))
def test_small_grids_full_of_ties(seed, n, levels):
    grid = np.random.default_rng(seed).integers(0, levels + 1, (n + 3, 1, 1, 3))
    points = torch.from_numpy(grid).float()
    assert_exact(points[:3], points[3:], chunk=5)


def test_only_uncertain_samples_are_compared_with_all(monkeypatch):
    def refuse(*_):
        raise AssertionError("a sample with clear neighbours was compared with every image")

    monkeypatch.setattr(nearest_neighbours, "_compare_with_all", refuse)
    assert_exact(images(100, seed=0), images(500, seed=1))


def test_types_are_those_of_the_neighbours_table():
    found = nearest_two(images(3, seed=0), images(5, seed=1))
    assert [a.dtype for a in (found.d1, found.d2, found.nn1, found.nn2)] == ["f8", "f8", "i8", "i8"]


def test_one_training_image_is_too_few():
    with pytest.raises(DataError, match=r"n = 1.*at least 2"):
        nearest_two(images(3, seed=0), images(1, seed=1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_counted(value):
    samples = images(5, seed=0)
    samples[1, 0, 3, 3] = samples[4, 0, 0, 0] = value
    with pytest.raises(RunError, match="2 of 5 generated samples are not finite"):
        nearest_two(samples, images(9, seed=1))


def test_a_sample_is_memorised_below_the_threshold_not_at_it():
    assert memorised([0.9, 1.0, 1.1], [4.0, 4.0, 4.0], k=0.25).tolist() == [True, False, False]


def test_a_copy_of_one_image_is_memorised():
    assert memorised([0.0], [2.0], k=1 / 3).all()


def test_a_copy_of_a_duplicated_image_is_memorised():
    assert memorised([0.0], [0.0], k=1 / 3).all()


def test_f_mem_is_the_fraction_memorised_at_a_third_or_at_another_k():
    d1, d2 = [1.0, 1.0, 1.0, 0.0], [2.9, 3.1, 30.0, 0.0]
    assert f_mem(d1, d2) == 0.75
    assert f_mem(d1, d2, k=0.5) == 1
    assert f_mem(np.array(d1), np.array(d2), k=0.01) == 0.25


def test_f_mem_of_nothing_is_an_error_not_zero():
    with pytest.raises(ValueError, match="without samples"):
        f_mem([], [])
