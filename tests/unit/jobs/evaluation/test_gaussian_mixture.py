"""The mixture's exact score, best guesses and population losses against autograd, Monte Carlo and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tausweep.jobs.evaluation.gaussian_mixture import Mixture

PAPER = Mixture(d=8, mu=1.0, variance=1.0)
LEVELS = [(0.999, 0.045), (0.8, 0.6), (0.1, 0.995), (0.5, 0.5)]  # the last is no variance-preserving one


def mixtures() -> st.SearchStrategy[Mixture]:
    return st.builds(Mixture, d=st.integers(1, 6), mu=st.floats(-2, 2), variance=st.floats(0.05, 4))


def log_density(mixture: Mixture, x: Tensor, signal: float, noise: float) -> Tensor:
    """log p of noised points by the densities of torch, (N,)."""
    spread = math.sqrt(signal**2 * mixture.variance + noise**2)
    centre = torch.full((mixture.d,), signal * mixture.mu, dtype=torch.float64)
    parts = [torch.distributions.Normal(sign * centre, spread).log_prob(x).sum(1) for sign in (1, -1)]
    return torch.logsumexp(torch.stack(parts), 0) - math.log(2)


def drawn(mixture: Mixture, count: int, signal: float, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Noised points with what they were made of, from torch's distributions, float64 (count, d) each."""
    generator = torch.Generator().manual_seed(3)
    shape = (count, mixture.d)
    sign = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    x0 = sign * mixture.mu + math.sqrt(mixture.variance) * normal
    epsilon = torch.randn(shape, generator=generator, dtype=torch.float64)
    return signal * x0 + noise * epsilon, x0, epsilon


@settings(deadline=None)
@given(mixture=mixtures(), alpha_bar=st.floats(0.01, 0.999), seed=st.integers(0, 99))
def test_the_score_is_the_gradient_of_the_log_density(mixture: Mixture, alpha_bar: float, seed: int) -> None:
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn((5, mixture.d), generator=generator, dtype=torch.float64)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(mixture, x, signal, noise).sum(), x)
    torch.testing.assert_close(mixture.score(x.detach(), signal, noise), gradient, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(mixture=mixtures(), alpha_bar=st.floats(0.01, 0.999))
def test_the_best_guesses_add_up_to_the_noised_point_and_give_the_score(
    mixture: Mixture, alpha_bar: float
) -> None:
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    x, _, _ = drawn(mixture, 9, signal, noise)
    x0, epsilon = mixture.posterior_means(x, signal, noise)
    torch.testing.assert_close(signal * x0 + noise * epsilon, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(epsilon, -noise * mixture.score(x, signal, noise), rtol=1e-12, atol=1e-12)


def test_levels_may_differ_from_point_to_point() -> None:
    x, _, _ = drawn(PAPER, 4, 0.8, 0.6)
    signal = torch.tensor([[s] for s, _ in LEVELS], dtype=torch.float64)
    noise = torch.tensor([[s] for _, s in LEVELS], dtype=torch.float64)
    together = PAPER.posterior_means(x, signal, noise)[0]
    alone = [PAPER.posterior_means(x[i : i + 1], *level)[0] for i, level in enumerate(LEVELS)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize(("signal", "noise"), LEVELS)
@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 0), (-0.6, 0.8), (-1, 1)], ids=["ε", "x₀", "v", "ε − x₀"])
@pytest.mark.parametrize("mixture", [PAPER, Mixture(d=2, mu=0.7, variance=0.1)], ids=["paper", "narrow"])
def test_the_optimal_loss_is_the_error_of_the_best_guess(
    mixture: Mixture, signal: float, noise: float, a: float, b: float
) -> None:
    x, x0, epsilon = drawn(mixture, 40_000, signal, noise)
    best_x0, best_epsilon = mixture.posterior_means(x, signal, noise)
    errors = (a * (x0 - best_x0) + b * (epsilon - best_epsilon)).square().mean(1)
    standard_error = float(errors.std()) / math.sqrt(len(errors))
    exact = mixture.optimal_loss(signal, noise, of_data=a, of_noise=b)
    assert abs(float(errors.mean()) - exact) < 4.5 * standard_error + 1e-12


def test_no_other_guess_has_a_smaller_error() -> None:
    x, _, epsilon = drawn(PAPER, 200_000, 0.8, 0.6)
    best = PAPER.posterior_means(x, 0.8, 0.6)[1]
    for change in (0.1 * x, 0.1 * torch.ones_like(x), 0.1 * best):
        assert (epsilon - best - change).square().mean() > (epsilon - best).square().mean()


@pytest.mark.parametrize(("signal", "noise"), LEVELS)
def test_far_apart_the_loss_is_that_of_one_gaussian(signal: float, noise: float) -> None:
    far = Mixture(d=8, mu=1000.0, variance=1.0)
    expected = signal**2 / (signal**2 + noise**2)
    assert far.optimal_loss(signal, noise, of_data=0, of_noise=1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("signal", "noise"), LEVELS)
def test_with_mu_0_the_loss_is_that_of_one_gaussian_too(signal: float, noise: float) -> None:
    one = Mixture(d=8, mu=0.0, variance=0.5)
    expected = 0.5 * signal**2 / (0.5 * signal**2 + noise**2)
    assert one.optimal_loss(signal, noise, of_data=0, of_noise=1) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(w=st.floats(0.01, 9))
def test_the_integral_between_the_gaussians_is_that_of_a_fine_sum(w: float) -> None:
    # d = 1, unit noise level v: what the quadrature gives against the trapezoid rule on a fine grid.
    mixture = Mixture(d=1, mu=w, variance=0.5)
    signal, noise = 1.0, math.sqrt(0.5)
    z = np.linspace(-14, 14, 200_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    sech2 = np.cosh(np.clip(w * w + w * z, -300, 300)) ** -2.0
    between = float(np.sum(density * sech2) * (z[1] - z[0]))
    expected = 0.5 + w**2 * 0.5 * between
    assert mixture.optimal_loss(signal, noise, of_data=0, of_noise=1) == pytest.approx(expected, rel=1e-9)
