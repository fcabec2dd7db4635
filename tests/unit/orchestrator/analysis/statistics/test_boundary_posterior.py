"""The boundary n*(p; tau): against a slow sum, planted boundaries, and what clean and empty data say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.statistics.boundary_posterior import (
    BoundaryPosterior,
    DecidedRun,
    decide,
    information,
    probability,
)

CLEAN = [DecidedRun(n, n < 25) for n in (5, 10, 20, 40, 80) for _ in range(2)]


@pytest.mark.parametrize(
    ("crossing", "expected"),
    [
        (Crossing(400.0, None, None), True),
        (Crossing(900.0, None, None), False),
        (Crossing(None, "right", 500.0), False),
        (Crossing(None, "right", 300.0), None),  # ended before the budget: says nothing
        (Crossing(None, "left", 30.0), True),
        (Crossing(None, "left", 700.0), None),
        (Crossing(None, "right", None), None),
    ],
)
def test_a_run_says_what_it_knows_of_a_budget(crossing, expected):
    found = decide(8, crossing, 500)
    assert (found and found.memorises) == expected


def test_clean_data_put_the_boundary_into_its_gap():
    middle, low, high = BoundaryPosterior.of(CLEAN).interval(0.95)
    assert middle == pytest.approx(math.sqrt(20 * 40), rel=0.02)
    assert 10 < low < 25 < high < 80


def test_the_posterior_equals_a_slow_sum_over_its_grid():
    outcomes = [DecidedRun(8, True), DecidedRun(16, True), DecidedRun(16, False), DecidedRun(32, False)]
    posterior = BoundaryPosterior.of(outcomes)
    steepness = np.geomspace(1.5, 60, 24)
    slow = [
        [
            math.prod(q_of(s, o.n, m) if o.memorises else 1 - q_of(s, o.n, m) for o in outcomes)
            for s in steepness
        ]
        for m in posterior.log_n
    ]
    np.testing.assert_allclose(posterior.weights, slow / np.sum(slow), atol=1e-8)


def q_of(s, n, m):
    return 1 / (1 + math.exp(min(700, s * (math.log(n) - m))))


def test_runs_that_all_memorise_bound_the_boundary_from_below_only():
    middle, low, high = BoundaryPosterior.of([DecidedRun(n, True) for n in (5, 10, 20)]).interval(0.95)
    assert (middle, high) == (None, None)
    assert 10 < low <= 20


def test_runs_of_which_none_memorises_bound_it_from_above_only():
    middle, low, high = BoundaryPosterior.of([DecidedRun(n, False) for n in (5, 10, 20)]).interval(0.95)
    assert (middle, low) == (None, None)
    assert 5 <= high < 10


@pytest.mark.parametrize("steepness", [3.0, 10.0, 30.0])
def test_intervals_hold_planted_boundaries(steepness):
    rng = np.random.default_rng(1)
    sizes = (4, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48)
    hits = []
    for _ in range(150):
        log_n = rng.uniform(np.log(6), np.log(35))
        outcomes = [DecidedRun(n, rng.random() < q_of(steepness, n, log_n)) for n in sizes for _ in range(2)]
        _, low, high = BoundaryPosterior.of(outcomes).interval(0.95)
        hits.append((low is None or np.log(low) <= log_n) and (high is None or log_n <= np.log(high)))
    assert np.mean(hits) >= 0.9


def test_a_run_tells_most_where_its_end_is_least_known():
    posterior = BoundaryPosterior.of(CLEAN)
    gains = {n: information(posterior.weights, probability(posterior.log_n, n)) for n in (5, 14, 28, 56, 80)}
    assert max(gains, key=gains.__getitem__) == 28
    assert gains[5] < gains[28] / 5
    assert all(gain >= 0 for gain in gains.values())


def test_expected_information_is_the_expected_fall_of_entropy():
    posterior = BoundaryPosterior.of(CLEAN)

    def entropy(of):
        p = of.weights.sum(axis=1)
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    yes = posterior.memorises(24)
    after = yes * entropy(posterior.after(24, True)) + (1 - yes) * entropy(posterior.after(24, False))
    assert information(posterior.weights, probability(posterior.log_n, 24)) == pytest.approx(
        entropy(posterior) - after, abs=1e-6
    )


def test_updating_by_a_run_equals_having_had_it():
    known = BoundaryPosterior.of([*CLEAN, DecidedRun(28, True)])
    np.testing.assert_allclose(BoundaryPosterior.of(CLEAN).after(28, True).weights, known.weights, atol=1e-9)
