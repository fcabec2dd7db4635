"""The bootstrap against slow loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tausweep.orchestrator.analysis.statistics.bootstrap import (
    fractions,
    interval,
    median,
    resample_counts,
    resample_seeds,
)


def test_resampled_f_mem_equals_a_slow_loop_over_the_same_resample():
    rng = np.random.default_rng(3)
    memorised = rng.random((6, 50)) < 0.3
    indices = rng.integers(50, size=(20, 50))
    counts = np.stack([np.bincount(row, minlength=50) for row in indices])
    slow = [[memorised[tau, row].mean() for tau in range(6)] for row in indices]
    np.testing.assert_allclose(fractions(memorised, counts), slow)


def test_every_resample_has_as_many_samples_as_the_run():
    counts = resample_counts(37, 200, np.random.default_rng(0))
    assert counts.shape == (200, 37)
    assert (counts.sum(axis=1) == 37).all()


def test_resampling_samples_keeps_the_mean_and_has_the_variance_of_a_binomial():
    memorised = np.zeros((2, 100), dtype=bool)
    memorised[1, :30] = True
    drawn = fractions(memorised, resample_counts(100, 4000, np.random.default_rng(0)))
    assert drawn[:, 1].mean() == pytest.approx(0.3, abs=0.005)
    assert drawn[:, 1].var() == pytest.approx(0.3 * 0.7 / 100, rel=0.1)
    assert not drawn[:, 0].any()


def test_seeds_are_drawn_with_replacement_from_the_runs_at_hand():
    origin = np.arange(3.0)[:, None] * np.ones(2000)  # run r has the value r in each of its resamples
    picked = resample_seeds(origin, np.random.default_rng(0))
    assert picked.shape == (3, 2000)
    shares = [(picked == run).mean() for run in range(3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize(
    ("values", "middle"),
    [
        ([1.0, 2.0, math.inf], 2.0),
        ([1.0, 3.0], 2.0),
        ([1.0, math.inf], math.inf),
        ([-math.inf, -math.inf, 5.0], -math.inf),
    ],
)
def test_a_median_counts_what_did_not_cross_as_late_or_early(values, middle):
    assert median(np.array(values)) == middle


def test_half_early_and_half_late_have_no_median():
    assert np.isnan(median(np.array([-math.inf, math.inf])))


def test_an_interval_is_open_where_its_quantile_did_not_cross():
    draws = np.concatenate([np.log(np.arange(1.0, 91)), np.full(10, np.inf)])
    low, high = interval(draws, 0.95)
    assert low == pytest.approx(3.0)
    assert high is None
