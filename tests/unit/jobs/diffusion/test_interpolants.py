"""Paths, velocities and samplers, against Gaussian data for which all of them are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tausweep.jobs.diffusion.interpolants import (
    PATHS,
    TIME_SCALE,
    interpolate,
    sample_ode,
    sample_sde,
    score,
    split,
    velocity,
    velocity_loss,
)

# x_t's coefficients and their derivatives by finite differences, written apart from the code.
REFERENCE = {
    "linear": (lambda t: 1 - t, lambda t: t),
    "trigonometric": (lambda t: np.cos(np.pi * t / 2), lambda t: np.sin(np.pi * t / 2)),
    "latent": (lambda t: 1 - t, lambda t: np.hypot(t, t * (1 - t))),
}
MEAN = np.array([0.7, -0.4])
COVARIANCE = np.array([[0.5, 0.3], [0.3, 0.4]])
paths = pytest.mark.parametrize("name", list(PATHS))


def slope(function, t, h=1e-5):
    """Fourth-order central difference, error about 1e-11."""
    return (8 * (function(t + h) - function(t - h)) - (function(t + 2 * h) - function(t - 2 * h))) / (12 * h)


def gaussian_velocity(name):
    """E[dx_t/dt | x_t = x] for x_0 ~ N(MEAN, COVARIANCE), called as a network is."""
    alpha, sigma = REFERENCE[name]

    def model(x, scaled):
        t = float(scaled[0]) / TIME_SCALE
        a, s, da, ds = alpha(t), sigma(t), slope(alpha, t), slope(sigma, t)
        spread = a**2 * COVARIANCE + s**2 * np.eye(2)
        gain = (a * da * COVARIANCE + s * ds * np.eye(2)) @ np.linalg.inv(spread)
        return torch.from_numpy(da * MEAN + (x.numpy() - a * MEAN) @ gain.T)

    return model


def exact_flow(noise):
    """Where the flow of the exact velocity ends: (x_t − α MEAN) over the root of x_t's covariance is constant."""
    values, vectors = np.linalg.eigh(COVARIANCE)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    return torch.from_numpy(MEAN + noise.numpy() @ root)


@pytest.fixture
def noise():
    return torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@paths
def test_a_path_leads_from_the_data_to_the_noise(name, noise):
    x0 = noise.flip(0) + 3
    torch.testing.assert_close(interpolate(PATHS[name], x0, noise, torch.zeros(64)), x0)
    torch.testing.assert_close(interpolate(PATHS[name], x0, noise, torch.ones(64)), noise)


@paths
def test_the_velocity_is_the_derivative_of_the_path(name):
    rng = np.random.default_rng(1)
    x0, eps, t = rng.normal(size=9), rng.normal(size=9), np.linspace(0.05, 0.95, 9)
    alpha, sigma = REFERENCE[name]
    found = velocity(PATHS[name], *(torch.from_numpy(a) for a in (x0[:, None], eps[:, None], t)))
    expected = slope(lambda u: alpha(u) * x0 + sigma(u) * eps, t)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8, atol=1e-9)


@paths
@pytest.mark.parametrize("t", [0.1, 0.5, 0.95])
def test_the_gaussian_velocity_is_the_mean_of_the_targets_given_the_point(name, t):
    # By quadrature over x_0 in one dimension, mean 0.7 and variance 0.5: not the formula for Gaussians again.
    alpha, sigma = (function(t) for function in REFERENCE[name])
    x = 0.3

    def target(x0):
        data = torch.from_numpy(x0)[:, None]
        at = torch.full((len(data),), t, dtype=torch.float64)
        return velocity(PATHS[name], data, (x - alpha * data) / sigma, at)[:, 0].numpy()

    def weight(x0):
        return norm.pdf(x0, 0.7, 0.5**0.5) * norm.pdf((x - alpha * x0) / sigma)

    x0 = np.linspace(-5, 6.4, 20_001)  # the trapezoidal rule is exact for what vanishes at both ends
    mean = np.sum(target(x0) * weight(x0)) / np.sum(weight(x0))
    variance = alpha**2 * 0.5 + sigma**2
    da, ds = (slope(function, t) for function in REFERENCE[name])
    expected = da * 0.7 + (alpha * da * 0.5 + sigma * ds) / variance * (x - alpha * 0.7)
    assert mean == pytest.approx(expected, rel=1e-7)


@paths
def test_the_loss_of_the_exact_velocity_is_the_spread_of_the_targets(name):
    # E|v − E[v|x]|² = tr(C_vv − C_vx C_xx⁻¹ C_xv) for jointly Gaussian v and x.
    t, count = 0.4, 200_000
    generator = torch.Generator().manual_seed(2)
    x0, eps = (torch.randn(count, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    x0 = exact_flow(x0)
    at = torch.full((count,), t, dtype=torch.float64)
    loss = velocity_loss(gaussian_velocity(name), PATHS[name], x0, eps, at)
    assert loss.shape == (count,)
    alpha, sigma = REFERENCE[name]
    a, s, da, ds = alpha(t), sigma(t), slope(alpha, t), slope(sigma, t)
    identity = np.eye(2)
    cross = a * da * COVARIANCE + s * ds * identity
    spread = da**2 * COVARIANCE + ds**2 * identity
    left = spread - cross @ np.linalg.solve(a**2 * COVARIANCE + s**2 * identity, cross)
    assert loss.mean().item() == pytest.approx(np.trace(left) / 2, rel=0.02)


@paths
def test_data_and_noise_come_back_from_point_and_velocity(name, noise):
    x0, t = noise.flip(0) + 3, torch.linspace(0, 1, 64, dtype=torch.float64)
    path = PATHS[name]
    found = split(path, interpolate(path, x0, noise, t), velocity(path, x0, noise, t), t)
    torch.testing.assert_close(found, (x0, noise))


@paths
@pytest.mark.parametrize("t", [0.02, 0.5, 1.0])
def test_the_score_of_the_exact_velocity_is_that_of_the_gaussian(name, noise, t):
    alpha, sigma = (function(t) for function in REFERENCE[name])
    at = torch.full((64,), t, dtype=torch.float64)
    found = score(PATHS[name], noise, gaussian_velocity(name)(noise, TIME_SCALE * at), at)
    spread = alpha**2 * COVARIANCE + sigma**2 * np.eye(2)
    expected = -np.linalg.solve(spread, (noise.numpy() - alpha * MEAN).T).T
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@paths
def test_integration_carries_the_noise_to_the_gaussian_of_the_data(name):
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    samples = sample_ode(gaussian_velocity(name), PATHS[name], noise, 100, "heun").numpy()
    np.testing.assert_allclose(samples.mean(0), MEAN, atol=0.02)
    np.testing.assert_allclose(np.cov(samples.T), COVARIANCE, atol=0.02)


@paths
@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_the_error_of_a_sampler_falls_with_its_order(name, noise, method, order):
    exact = exact_flow(noise)
    errors = [
        (sample_ode(gaussian_velocity(name), PATHS[name], noise, steps, method) - exact).abs().max().item()
        for steps in (80, 160, 320)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, order, atol=0.12)


@paths
def test_the_sde_has_the_marginals_of_the_data(name):
    generator = torch.Generator().manual_seed(4)
    noise, *draws = torch.randn(200, 20_000, 2, generator=generator, dtype=torch.float64)
    samples = sample_sde(gaussian_velocity(name), PATHS[name], noise, draws).numpy()
    np.testing.assert_allclose(samples.mean(0), MEAN, atol=0.03)
    np.testing.assert_allclose(np.cov(samples.T), COVARIANCE, atol=0.03)
    # It forgets where it started, which the flow does not: what makes it another sampler.
    flow = exact_flow(noise).numpy()
    assert np.corrcoef(samples[:, 0], flow[:, 0])[0, 1] < 0.9


@paths
def test_a_true_velocity_gives_the_image_at_any_number_of_steps_and_at_one(name, noise):
    x0 = noise.flip(0) * 0.2
    path = PATHS[name]

    def oracle(x, scaled):
        t = scaled / TIME_SCALE
        alpha, sigma, _, _ = path.at(t, like=x)
        return velocity(path, x0, (x - alpha * x0) / sigma, t)

    for steps in (1, 7):
        torch.testing.assert_close(sample_ode(oracle, path, noise, steps), x0)
        torch.testing.assert_close(sample_sde(oracle, path, noise, [noise] * (steps - 1)), x0)


@paths
@pytest.mark.parametrize("method", ["euler", "heun"])
def test_clipped_samples_keep_to_their_bounds(name, noise, method):
    bounds = torch.tensor([-0.3, -0.1]), torch.tensor([0.5, 0.2])
    samples = sample_ode(gaussian_velocity(name), PATHS[name], noise, 20, method, bounds)
    assert torch.equal(samples, samples.clamp(*bounds))
    assert samples[:, 0].max() == 0.5  # the bound is met, or nothing was tested
    loose = torch.tensor(-100.0), torch.tensor(100.0)
    free = sample_ode(gaussian_velocity(name), PATHS[name], noise, 20, method)
    clipped = sample_ode(gaussian_velocity(name), PATHS[name], noise, 20, method, loose)
    torch.testing.assert_close(clipped, free)


@paths
def test_coefficients_are_exact_at_small_times_in_float32(name):
    t = torch.tensor([1e-4, 1e-2])
    x0, eps = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [-1.0]])
    alpha, sigma = REFERENCE[name]
    expected = alpha(t.double().numpy()) * x0.numpy()[:, 0] + sigma(t.double().numpy()) * eps.numpy()[:, 0]
    found = interpolate(PATHS[name], x0, eps, t)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(noise, steps):
    with pytest.raises(ValueError, match="at least 1"):
        sample_ode(gaussian_velocity("linear"), PATHS["linear"], noise, steps)
