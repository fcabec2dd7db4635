"""The diffusion equations, each against diffusers' schedulers or the paper's formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from tausweep.jobs.diffusion.ddpm import (
    Schedule,
    add_noise,
    ddim_timesteps,
    denoising_loss,
    sample_ddim,
    target,
)
from tausweep.jobs.diffusion.increments import increments
from tausweep.jobs.spec import objective

OBJECTIVE = objective.DDPM()
SETTINGS = {
    "num_train_timesteps": OBJECTIVE.timesteps,
    "beta_start": OBJECTIVE.beta_start,
    "beta_end": OBJECTIVE.beta_end,
    "beta_schedule": "linear",
}
DIFFUSERS = {"epsilon": "epsilon", "v": "v_prediction"}
predictions = pytest.mark.parametrize("prediction", ["epsilon", "v"])


@pytest.fixture
def schedule():
    return Schedule.linear(OBJECTIVE)


@pytest.fixture
def batch():
    """Images, noise and timesteps that include both ends."""
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 6, 3, 4, 4, generator=generator)
    return x0, noise, torch.tensor([0, 1, 50, 500, 998, 999])


def curved_model(x, t):
    """Stands in for a network: not linear in x, and different at each t."""
    return torch.tanh(x + 0.3) * (0.5 + t.to(x.dtype)[:, None, None, None] / 1000)


def test_betas_are_linear_and_alpha_bars_their_running_product(schedule):
    betas = [1e-4 + (0.02 - 1e-4) * t / 999 for t in range(1000)]
    np.testing.assert_allclose(schedule.betas, betas, rtol=1e-14)
    np.testing.assert_allclose(schedule.alpha_bars, np.cumprod(1 - np.array(betas)), rtol=1e-12)


def test_tables_stay_float64_when_moved(schedule):
    moved = schedule.to("cpu")
    assert moved.betas.dtype == moved.alpha_bars.dtype == torch.float64


def test_add_noise_agrees_with_diffusers(schedule, batch):
    expected = DDPMScheduler(**SETTINGS).add_noise(*batch)
    torch.testing.assert_close(add_noise(schedule, *batch), expected)


def test_add_noise_follows_equation_4(schedule, batch):
    x0, noise, t = batch
    a = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[t][:, None, None, None]
    expected = np.sqrt(a) * x0.double().numpy() + np.sqrt(1 - a) * noise.double().numpy()
    np.testing.assert_allclose(add_noise(schedule, x0, noise, t), expected, rtol=1e-5, atol=1e-6)


def test_images_keep_their_dtype(schedule, batch):
    x0, noise, t = batch
    assert add_noise(schedule, x0, noise, t).dtype == torch.float32
    assert add_noise(schedule, x0.double(), noise.double(), t).dtype == torch.float64


def test_the_epsilon_target_is_the_noise(schedule, batch):
    x0, noise, t = batch
    assert torch.equal(target(schedule, x0, noise, t, "epsilon"), noise)


def test_the_v_target_agrees_with_diffusers(schedule, batch):
    expected = DDPMScheduler(**SETTINGS).get_velocity(*batch)
    torch.testing.assert_close(target(schedule, *batch, "v"), expected)


@predictions
def test_the_loss_is_one_mean_squared_error_an_image(schedule, batch, prediction):
    x0, noise, t = batch
    error = curved_model(add_noise(schedule, x0, noise, t), t) - target(schedule, x0, noise, t, prediction)
    expected = [float(np.mean(image.double().numpy() ** 2)) for image in error]
    loss = denoising_loss(curved_model, schedule, x0, noise, t, prediction)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 25, 30, 1000])
def test_timesteps_are_the_trailing_spacing_of_diffusers(steps):
    scheduler = DDIMScheduler(**SETTINGS, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    assert torch.equal(ddim_timesteps(1000, steps), scheduler.timesteps)


@pytest.mark.parametrize("timesteps", [2, 7, 100])
def test_every_number_of_steps_visits_distinct_timesteps_from_the_last(timesteps):
    for steps in range(1, timesteps + 1):
        visited = ddim_timesteps(timesteps, steps).tolist()
        assert visited[0] == timesteps - 1
        assert visited[-1] >= 0
        assert visited == sorted(set(visited), reverse=True)
        assert len(visited) == steps


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_outside_the_schedule_are_refused(steps):
    with pytest.raises(ValueError, match="between 1 and timesteps = 1000"):
        ddim_timesteps(1000, steps)


@predictions
@pytest.mark.parametrize("steps", [1, 25])
def test_sampling_agrees_with_diffusers(schedule, batch, prediction, steps):
    scheduler = DDIMScheduler(
        **SETTINGS,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        prediction_type=DIFFUSERS[prediction],
    )
    scheduler.set_timesteps(steps)
    expected = noise = batch[1].double()
    for t in scheduler.timesteps:
        expected = scheduler.step(curved_model(expected, t.expand(6)), t, expected, eta=0.0).prev_sample
    samples = sample_ddim(curved_model, schedule, noise, steps, prediction)
    torch.testing.assert_close(samples, expected, rtol=1e-3, atol=1e-4)  # diffusers' tables are float32


@predictions
def test_sampling_with_the_true_noise_returns_the_image(schedule, batch, prediction):
    x0, noise, _ = batch
    x_last = add_noise(schedule, x0, noise, torch.full((6,), 999))

    def oracle(x, t):
        return target(schedule, x0, noise, t, prediction)

    samples = sample_ddim(oracle, schedule, x_last, 20, prediction)
    torch.testing.assert_close(samples, x0, rtol=0, atol=1e-3)


def test_each_image_is_sampled_from_its_own_noise_alone(schedule, batch):
    noise = batch[1]
    together = sample_ddim(curved_model, schedule, noise, 10, "v")
    apart = torch.cat([sample_ddim(curved_model, schedule, x[None], 10, "v") for x in noise])
    torch.testing.assert_close(together, apart)


def test_clipped_sampling_agrees_with_diffusers(schedule, batch):
    scheduler = DDIMScheduler(
        **SETTINGS,
        clip_sample=True,
        clip_sample_range=0.7,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        prediction_type="epsilon",
    )
    scheduler.set_timesteps(25)
    expected = noise = batch[1].double()
    for t in scheduler.timesteps:
        expected = scheduler.step(
            curved_model(expected, t.expand(6)), t, expected, eta=0.0, use_clipped_model_output=True
        ).prev_sample
    bound = torch.full((noise.shape[1], 1, 1), 0.7, dtype=torch.float64)
    samples = sample_ddim(curved_model, schedule, noise, 25, "epsilon", (-bound, bound))
    torch.testing.assert_close(samples, expected, rtol=1e-3, atol=1e-4)
    assert samples.abs().max() == 0.7  # the bound is met, or nothing was tested


def test_sampling_tracks_no_gradients(schedule, batch):
    weight = torch.ones(1, requires_grad=True)
    samples = sample_ddim(lambda x, t: weight * x, schedule, batch[1], 3, "epsilon")
    assert not samples.requires_grad


# --- with noise on the way: eta above 0, ancestral -----------------------------------------------------------------

COARSE = objective.DDPM(timesteps=40, beta_start=1e-3, beta_end=0.3)


def draws(noise, steps):
    """What the sampler adds at each step but the last, (steps − 1, N, C, H, W) float64, as 16 steps at a time draw it."""
    return torch.stack([*increments(noise, steps - 1, 16)]).numpy()


def stochastic_ddim(x, alpha_bars, visited, eta, z, prediction):
    """Equations 12 and 16 of Song et al. 2021 in numpy, at the timesteps that are visited."""
    for i, t in enumerate(visited):
        a, after = alpha_bars[t], alpha_bars[visited[i + 1]] if i + 1 < len(visited) else 1.0
        out = curved_model(torch.from_numpy(x), torch.full((len(x),), t)).numpy()
        eps = out if prediction == "epsilon" else np.sqrt(a) * out + np.sqrt(1 - a) * x
        x0 = (x - np.sqrt(1 - a) * eps) / np.sqrt(a)
        sigma = eta * np.sqrt((1 - after) / (1 - a)) * np.sqrt(1 - a / after)
        x = np.sqrt(after) * x0 + np.sqrt(1 - after - sigma**2) * eps
        if i + 1 < len(visited):
            x = x + sigma * z[i]
    return x


@predictions
@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_stochastic_ddim_follows_equations_12_and_16(batch, prediction, eta, steps):
    schedule, noise = Schedule.linear(COARSE), batch[1].double()
    visited = ddim_timesteps(40, steps).tolist()
    z = draws(noise, steps) if steps > 1 else None
    alpha_bars = np.cumprod(1 - np.linspace(1e-3, 0.3, 40))
    expected = stochastic_ddim(noise.numpy(), alpha_bars, visited, eta, z, prediction)
    samples = sample_ddim(curved_model, schedule, noise, steps, prediction, eta=eta)
    np.testing.assert_allclose(samples, expected, rtol=1e-9, atol=1e-9)


def test_at_eta_1_over_all_timesteps_it_is_ancestral_sampling(batch):
    noise = batch[1].double()
    betas = np.linspace(1e-3, 0.3, 40)
    alpha_bars = np.cumprod(1 - betas)
    x, z = noise.numpy(), draws(noise, 40)
    for i, t in enumerate(reversed(range(40))):  # Ho et al. 2020, algorithm 2, with the variance of eq. 7
        eps = curved_model(torch.from_numpy(x), torch.full((6,), t)).numpy()
        x = (x - betas[t] / np.sqrt(1 - alpha_bars[t]) * eps) / np.sqrt(1 - betas[t])
        if t:
            x = x + np.sqrt((1 - alpha_bars[t - 1]) / (1 - alpha_bars[t]) * betas[t]) * z[i]
    samples = sample_ddim(curved_model, Schedule.linear(COARSE), noise, 40, "epsilon", eta=1)
    np.testing.assert_allclose(samples, x, rtol=1e-9, atol=1e-9)


def test_without_eta_samples_are_the_deterministic_ones_to_the_bit(schedule, batch):
    samples = sample_ddim(curved_model, schedule, batch[1], 25, "epsilon", eta=0.0)
    levels = [*schedule.alpha_bars[ddim_timesteps(1000, 25)].tolist(), 1.0]
    x = batch[1]
    for t, a, after in zip(ddim_timesteps(1000, 25).tolist(), levels, levels[1:], strict=False):
        eps = curved_model(x, torch.full((6,), t))
        x = after**0.5 * ((x - (1 - a) ** 0.5 * eps) / a**0.5) + (1 - after) ** 0.5 * eps
    assert torch.equal(samples, x)


@pytest.mark.parametrize(("eta", "steps", "error"), [(0.5, 250, 0.04), (1.0, 250, 0.1)])
def test_with_the_exact_score_samples_have_the_variance_of_gaussian_data(schedule, eta, steps, error):
    variance = 0.25

    def exact(x, t):  # E[ε | x_t] of x_0 ~ N(0, variance)
        a = schedule.alpha_bars[t][:, None]
        return (1 - a).sqrt() * x / (a * variance + 1 - a)

    # Each step is linear in x, so that the variance after it is known.
    expected, visited = 1.0, ddim_timesteps(1000, steps).tolist()
    alpha_bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    for t, following in zip(visited, [*visited[1:], None], strict=True):
        a, after = alpha_bars[t], 1.0 if following is None else alpha_bars[following]
        eps = np.sqrt(1 - a) / (a * variance + 1 - a)
        drawn = eta**2 * (1 - after) / (1 - a) * (1 - a / after)
        factor = np.sqrt(after / a) * (1 - np.sqrt(1 - a) * eps) + np.sqrt(1 - after - drawn) * eps
        expected = factor**2 * expected + drawn
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    samples = sample_ddim(exact, schedule, noise, steps, "epsilon", eta=eta).numpy()
    np.testing.assert_allclose(samples.var(0), expected, rtol=0.03)  # 3 standard errors
    np.testing.assert_allclose(samples.mean(0), 0, atol=0.015)
    assert abs(expected / variance - 1) < error  # steps have a width: they come nearer the more there are


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_an_image_that_noise_was_added_to_does_not_depend_on_those_beside_it(schedule, batch, eta):
    noise = batch[1]
    together = sample_ddim(curved_model, schedule, noise, 30, "v", eta=eta)
    apart = [sample_ddim(curved_model, schedule, x[None], 30, "v", eta=eta) for x in noise]
    torch.testing.assert_close(together, torch.cat(apart))
    assert sample_ddim(curved_model, schedule, noise[:0], 30, "v", eta=eta).shape == (0, 3, 4, 4)


def test_clipped_samples_of_eta_1_agree_with_diffusers(schedule, batch):
    scheduler = DDPMScheduler(
        **SETTINGS, clip_sample=True, clip_sample_range=0.7, timestep_spacing="trailing"
    )
    noise = batch[1].double()
    bound = torch.full((3, 1, 1), 0.7, dtype=torch.float64)
    x, z = noise, torch.from_numpy(draws(noise, 1000))
    for i, t in enumerate(scheduler.timesteps):
        mean_and_noise = scheduler.step(curved_model(x, t.expand(6)), t, x, generator=torch.Generator())
        a, after = schedule.alpha_bars[t], schedule.alpha_bars[t - 1] if t else torch.tensor(1.0).double()
        x0 = mean_and_noise.pred_original_sample
        beta = 1 - a / after
        mean = after.sqrt() * beta / (1 - a) * x0 + (1 - beta).sqrt() * (1 - after) / (1 - a) * x  # eq. 7
        x = mean + ((1 - after) / (1 - a) * beta).sqrt() * z[i] if t else mean
    samples = sample_ddim(curved_model, schedule, noise, 1000, "epsilon", (-bound, bound), 1.0)
    torch.testing.assert_close(samples, x, rtol=1e-3, atol=1e-3)
