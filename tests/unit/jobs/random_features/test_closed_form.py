"""The closed form against full-batch gradient descent, an ODE solver and the definition of the losses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tausweep.jobs.data.elliptical import Elliptical, gaussian, spectrum, student_t
from tausweep.jobs.random_features.closed_form import ClosedForm, ScoreMatching, spectral_timescales
from tausweep.jobs.random_features.moments import population_moments, train_moments

D, P, N, T = 6, 24, 9, 0.2
LR = 60.0


def problem(data: Elliptical | None = None, *, p: int = P, n: int = N, t: float = T) -> ScoreMatching:
    data = data or gaussian(spectrum("two_point", D))
    rng = np.random.default_rng(5)
    W, x0 = rng.standard_normal((p, D)), data.draw(n, rng)
    return ScoreMatching(
        train=train_moments(W, x0, t, "tanh"),
        population=population_moments(W, data, t, "tanh"),
        t=t,
        score_square=data.score_square(math.exp(-t), 1 - math.exp(-2 * t)),
    )


def descend(U: np.ndarray, V: np.ndarray, t: float, lr: float, steps: int) -> np.ndarray:
    """Gradient descent step by step on E‖√Δ A σ/√p + z‖²/d, its gradient written out from E[σσᵀ] and E[σzᵀ]."""
    delta, (p, d) = 1 - math.exp(-2 * t), V.shape
    A = np.zeros((d, p))
    for _ in range(steps):
        residual = math.sqrt(delta / p) * A @ U + V.T  # E[(√Δ s + z) σᵀ]
        A = A - lr * 2 / d * math.sqrt(delta / p) * residual
    return A


@pytest.mark.parametrize(
    "data", [gaussian(np.ones(D)), gaussian(spectrum("power_law", D)), student_t(np.ones(D), 4.0)]
)
def test_closed_form_equals_gradient_descent(data: Elliptical) -> None:
    loss = problem(data)
    form = ClosedForm(loss, LR)
    for tau in (0, 1, 7, 3000):
        A = descend(loss.train.U, loss.train.V, T, LR, tau)
        np.testing.assert_allclose(form.weights(tau), A, atol=1e-10)


def test_a_learning_rate_that_overshoots_alternates_as_gradient_descent_does() -> None:
    loss = problem()
    lr = 0.9 * ClosedForm(loss, 1.0).largest_lr
    for tau in (1, 2, 51):
        A = descend(loss.train.U, loss.train.V, T, lr, tau)
        np.testing.assert_allclose(ClosedForm(loss, lr).weights(tau), A, atol=1e-10)


def test_beyond_the_largest_learning_rate_training_diverges() -> None:
    loss = problem()
    largest = ClosedForm(loss, 1.0).largest_lr
    below, above = (ClosedForm(loss, factor * largest).weights(4000) for factor in (0.99, 1.01))
    assert loss.losses(below).train_loss < 1
    assert loss.losses(above).train_loss > 1e6


def test_the_losses_are_those_of_samples() -> None:
    data, t = gaussian(spectrum("two_point", D)), T
    rng = np.random.default_rng(5)
    W, x0 = rng.standard_normal((P, D)), data.draw(N, rng)
    A = ClosedForm(problem(data), LR).weights(500)
    delta, draws = 1 - math.exp(-2 * t), 60_000
    z = rng.standard_normal((draws, D))
    for name, x in {"train_loss": x0[np.arange(draws) % N], "test_loss": data.draw(draws, rng)}.items():
        noised = math.exp(-t) * x + math.sqrt(delta) * z
        score = np.tanh(noised @ W.T / math.sqrt(D)) @ A.T / math.sqrt(P)
        errors = ((math.sqrt(delta) * score + z) ** 2).mean(axis=1)
        found = getattr(problem(data).losses(A), name)
        assert abs(found - errors.mean()) < 5 * errors.std() / math.sqrt(draws), name
    exact = -noised / (math.exp(-2 * t) * data.variances + delta)
    errors = ((score - exact) ** 2).mean(axis=1)
    assert abs(problem(data).losses(A).score_error - errors.mean()) < 5 * errors.std() / math.sqrt(draws)


def test_gradient_descent_goes_down_the_gradient_of_the_loss() -> None:
    loss = problem()
    step = np.zeros((D, P))
    step[2, 3] = 1e-5
    slope = (loss.loss(step, loss.train) - loss.loss(-step, loss.train)) / 2e-5
    assert ClosedForm(loss, LR).weights(1)[2, 3] == pytest.approx(-LR * slope, rel=1e-6)


def test_long_training_reaches_the_least_squares_solution_below_the_test_loss() -> None:
    loss = problem(t=1.0)
    A = -math.sqrt(P / loss.delta) * np.linalg.solve(loss.train.U, loss.train.V).T
    found = loss.losses(ClosedForm(loss, LR).weights(1e12))
    assert found.train_loss == pytest.approx(loss.losses(A).train_loss, abs=1e-8)
    assert found.train_loss < found.test_loss
    assert found.score_error > 0


def test_timescales_are_inverse_rates_of_the_parts_of_the_spectrum() -> None:
    eigenvalues = np.array([0.01, 0.02, 0.1, 0.3, 4.0, 6.0])
    found = spectral_timescales(eigenvalues, 0.5, n=2, d=2)
    assert found is not None
    assert vars(found) == pytest.approx(
        {
            "tau_gen": 0.4,
            "tau_gen_slowest": 0.5,
            "tau_mem": 10,
            "tau_mem_fastest": 2 / 0.3,
            "tau_mem_slowest": 20,
            "tau_mem_with_sub_bulk": 10,
        }
    )
    more = spectral_timescales(eigenvalues, 0.5, n=100, d=2)
    assert more is not None
    assert more.tau_mem_slowest == pytest.approx(200)
    assert spectral_timescales(eigenvalues, 0.5, n=2, d=6) is None


def test_the_sub_bulk_is_left_out_of_tau_mem_and_has_a_name_of_its_own() -> None:
    eigenvalues = np.array(
        [0.01, 0.01, 0.01, 0.02, 0.1, 0.3, 6.0]
    )  # d = 1, n = 3: 0.1 and 0.3 are the main bulk
    found = spectral_timescales(eigenvalues, 0.5, n=3, d=1)
    assert found is not None
    assert (found.tau_mem, found.tau_mem_slowest) == pytest.approx((10, 20))
    assert found.tau_mem_with_sub_bulk == pytest.approx(2 / (0.42 / 3))


def test_one_update_moves_each_eigenvector_by_its_rate() -> None:
    loss = problem()
    form = ClosedForm(loss, LR)
    left = form.weights(1e12) - form.weights(1)
    assert np.linalg.norm(left) < np.linalg.norm(form.weights(1e12))
    decay = np.linalg.norm(form._basis.T @ left.T, axis=1) / np.linalg.norm(
        form._basis.T @ form.weights(1e12).T, axis=1
    )
    np.testing.assert_allclose(decay, np.abs(1 - form.rate * form.eigenvalues), rtol=1e-6)
