"""Censored regression against closed forms, a general optimiser and a simulation of its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from tausweep.orchestrator.analysis.criteria.first_crossing import LEFT, RIGHT
from tausweep.orchestrator.analysis.statistics.censored_regression import (
    Responses,
    fit_censored,
    held,
    is_determined,
    p_value,
    profile_interval,
    threshold,
)


def line(n, log_tau, budget=np.inf, first=0.0):
    """A straight line's design and responses, cut at ln budget and ln first."""
    value = np.clip(log_tau, np.log(first) if first else -np.inf, np.log(budget))
    censored = np.where(log_tau > value, RIGHT, np.where(log_tau < value, LEFT, 0)).astype(np.int8)
    return np.column_stack([np.ones(len(n)), np.log(n)]), Responses(value, censored)


def simulated(rng, *, seeds=3, noise=0.2, exponent=1.0, sizes=(16, 32, 64, 128)):
    n = np.repeat(sizes, seeds).astype(float)
    return n, 3 + exponent * np.log(n) + noise * rng.normal(size=len(n))


def test_without_censoring_it_is_least_squares_with_students_interval():
    X, responses = line(*simulated(np.random.default_rng(0)))
    reference = stats.linregress(X[:, 1], responses.value)
    fit = fit_censored(X, responses)
    np.testing.assert_allclose(fit.beta, [reference.intercept, reference.slope], rtol=1e-9)
    half = stats.t.ppf(0.975, len(X) - 2) * reference.stderr
    interval = profile_interval(X, responses, fit, 1, 0.95)
    np.testing.assert_allclose(interval, [reference.slope - half, reference.slope + half], rtol=1e-5)


def test_without_censoring_the_p_value_is_that_of_the_t_test():
    X, responses = line(*simulated(np.random.default_rng(1)))
    fit = fit_censored(X, responses)
    fall = fit.log_likelihood - held(X, responses, 1, 0.0).log_likelihood
    assert p_value(fall, responses, 2) == pytest.approx(
        stats.linregress(X[:, 1], responses.value).pvalue, rel=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_maximum_is_that_of_a_general_optimiser_on_the_likelihood_as_it_is_written(seed):
    n, log_tau = simulated(np.random.default_rng(seed))
    X, responses = line(
        n, log_tau, budget=np.exp(np.quantile(log_tau, 0.7)), first=np.exp(np.quantile(log_tau, 0.1))
    )

    def loss(parameters):
        error = stats.norm(X @ parameters[:2], np.exp(parameters[2]))
        y, c = responses
        return -np.where(c == 0, error.logpdf(y), np.where(c == RIGHT, error.logsf(y), error.logcdf(y))).sum()

    best = optimize.minimize(loss, [3.0, 1.0, -1.5], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000})  # fmt: skip
    fit = fit_censored(X, responses)
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
    np.testing.assert_allclose([*fit.beta, np.log(fit.sigma)], best.x, atol=1e-5)


def test_leaving_censored_runs_out_would_bias_the_exponent_and_keeping_them_does_not():
    rng = np.random.default_rng(0)
    kept, dropped = [], []
    for _ in range(200):
        n, log_tau = simulated(rng, noise=0.4)
        X, responses = line(n, log_tau, budget=np.exp(3) * 100)
        seen = responses.seen
        kept.append(fit_censored(X, responses).beta[1])
        dropped.append(
            fit_censored(X[seen], Responses(responses.value[seen], responses.censored[seen])).beta[1]
        )
    assert np.mean(kept) == pytest.approx(1.0, abs=0.03)
    assert np.mean(dropped) < 0.9


@pytest.mark.parametrize("budget", [np.inf, 110.0, 75.0])
def test_a_95_percent_interval_holds_the_truth_in_93_to_97_percent_of_studies(budget):
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(500):
        n, log_tau = simulated(rng)
        X, responses = line(n, log_tau, budget=np.exp(3) * budget)
        fall = fit_censored(X, responses).log_likelihood - held(X, responses, 1, 1.0).log_likelihood
        hits.append(fall <= threshold(responses, 2, 0.95))
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_interval_ends_where_the_likelihood_has_fallen_by_the_threshold():
    n, log_tau = simulated(np.random.default_rng(3))
    X, responses = line(n, log_tau, budget=np.exp(3) * 75)
    fit = fit_censored(X, responses)
    for bound in profile_interval(X, responses, fit, 1, 0.95):
        fall = fit.log_likelihood - held(X, responses, 1, bound).log_likelihood
        assert fall == pytest.approx(threshold(responses, 2, 0.95), rel=1e-3)


def test_as_many_seen_responses_as_coefficients_determine_no_spread():
    X, responses = line(np.array([8.0, 16.0, 32.0]), np.array([1.0, 2.0, 9.0]), budget=np.exp(5))
    assert not is_determined(X, responses)
    assert is_determined(*line(np.array([8.0, 16.0, 32.0]), np.array([1.0, 2.0, 4.0])))


def test_responses_exactly_on_a_line_are_fitted_exactly():
    X, responses = line(np.array([8.0, 16.0, 32.0, 64.0]), 2 + 0.5 * np.log([8.0, 16.0, 32.0, 64.0]))
    np.testing.assert_allclose(fit_censored(X, responses).beta, [2, 0.5], rtol=1e-6)
