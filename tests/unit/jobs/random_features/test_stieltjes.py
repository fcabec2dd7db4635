"""The self-consistent equations: against resolvents of drawn matrices and laws known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.jobs.random_features import stieltjes
from tausweep.jobs.random_features.stieltjes import ANGLE, Ensemble, solve
from tausweep.storage.errors import TheoryError

ONE = np.ones(1)


def ensemble(psi_p=2.0, psi_n=1.0, b2=0.0, c2=0.0, v2=0.0, s2=0.0, sigma=ONE, weights=ONE):
    return Ensemble(psi_p=psi_p, psi_n=psi_n, b2=b2, c2=c2, v2=v2, s2=s2, sigma=sigma, weights=weights)


def marchenko_pastur(x, ratio, scale):
    """Density of the positive eigenvalues of scale · Z Zᵀ/N for Z (p, N), ratio = p/N."""
    low, high = scale * (1 - math.sqrt(ratio)) ** 2, scale * (1 + math.sqrt(ratio)) ** 2
    return np.sqrt(np.maximum((x - low) * (high - x), 0)) / (2 * math.pi * ratio * scale * x)


@pytest.mark.parametrize("ratio", [0.3, 4.0])
def test_noise_alone_gives_marchenko_and_pasturs_law(ratio):
    x = np.geomspace(0.01, 12, 200)
    q, _ = solve(ensemble(psi_p=2.0, psi_n=2.0 / ratio, v2=0.7), x)
    np.testing.assert_allclose(q.imag / math.pi, marchenko_pastur(x, ratio, 0.7), atol=1e-7)


@pytest.mark.parametrize("psi_p", [0.5, 6.0])
def test_weights_alone_give_marchenko_and_pasturs_law(psi_p):
    x = np.geomspace(0.01, 12, 200)
    q, _ = solve(ensemble(psi_p=psi_p, b2=0.5), x)
    np.testing.assert_allclose(q.imag / math.pi, marchenko_pastur(x, psi_p, 0.5), atol=1e-7)


def test_the_resolvent_is_that_of_a_drawn_matrix():
    d, p, n = 400, 800, 600
    rng = np.random.default_rng(5)
    sigma = np.where(np.arange(d) < d // 4, 3.0, 0.5)
    W, X, noise = rng.standard_normal((p, d)), rng.standard_normal((d, n)), rng.standard_normal((p, n))
    G = math.sqrt(0.4 / d) * W @ (np.sqrt(sigma)[:, None] * X) + math.sqrt(0.2) * noise
    eigenvalues = np.linalg.eigvalsh(G @ G.T / n + 0.1 * W @ W.T / d)
    made = ensemble(
        2.0, 1.5, b2=0.1, c2=0.4, v2=0.2, sigma=np.array([0.5, 3.0]), weights=np.array([0.75, 0.25])
    )
    # On the way to the axis, where the matrix has a resolvent without poles nearby.
    y = np.array([0.01, 0.1, 0.5, 2.0, 5.0])
    z = y * np.exp(0.5j)
    first = stieltjes._first(made, y * np.exp(2.5j))
    for angle in np.linspace(2.4, 0.5, 20):
        first, good = stieltjes._newton(made, y * np.exp(1j * angle), first)
        assert good.all()
    measured = (1 / (eigenvalues - z[:, None])).mean(axis=1)
    np.testing.assert_allclose(first.q, measured, rtol=0.01)


@settings(deadline=None, max_examples=30)
@given(
    st.floats(0.2, 40),
    st.floats(0.2, 40),
    st.floats(1e-3, 1),
    st.floats(1e-2, 1),
    st.floats(1e-3, 1),
    st.floats(1, 30),
)
def test_every_accepted_point_solves_the_equations_in_the_half_planes(psi_p, psi_n, b2, c2, v2, high):
    made = ensemble(psi_p, psi_n, b2, c2, v2, sigma=np.array([0.3, high]), weights=np.array([0.6, 0.4]))
    y = np.geomspace(1e-5, 1e3, 40)
    q, h = solve(made, y)
    B = b2 + c2 * h[:, None] * made.sigma
    u = 1 / (1 + psi_p * B * q[:, None])
    left = -1 / q + v2 * h + (B * u) @ made.weights
    shared = psi_p / psi_n * q * (v2 + c2 * (u * made.sigma) @ made.weights)
    np.testing.assert_allclose(left * q, y * np.exp(1j * ANGLE) * q, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(1 / h - 1, shared, rtol=1e-6, atol=1e-7)
    assert (q.imag > 0).all()
    assert (h.imag <= 0).all()


def test_a_solution_on_another_branch_is_refused():
    made = ensemble(4.0, 2.0, b2=0.01, c2=0.4, v2=0.1)
    right = solve(made, np.array([1.0]))
    wrong = stieltjes.Resolvent(right.q.conj(), right.h.conj())  # solves them below the axis
    z = np.array([np.exp(1j * ANGLE)])
    assert stieltjes._newton(made, z, right)[1].all()
    assert not stieltjes._newton(made, z, wrong)[1].any()


def test_points_that_are_not_reached_are_an_error_that_names_one(monkeypatch):
    monkeypatch.setattr(stieltjes, "_ROUNDS", 2)
    with pytest.raises(TheoryError, match=r"at lambda = 0\.5: no solution"):
        solve(ensemble(4.0, 2.0, b2=0.01, c2=0.4, v2=0.1), np.array([0.5, 1.0, 2.0]))
