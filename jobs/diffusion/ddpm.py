"""Denoising diffusion: the noise schedule, the training loss and the sampler, one function per equation.

Called through `jobs.diffusion.objective` with any `model(x, t)` that returns a tensor. Knows neither the
network nor the source of images and random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from tausweep.jobs.diffusion.increments import increments
from tausweep.jobs.spec import objective as spec_objective

Model = Callable[[Tensor, Tensor], Tensor]
"""x_t (N, C, H, W) and timesteps (N,) int64 → prediction (N, C, H, W)."""

Clip = tuple[Tensor, Tensor]
"""Lowest and highest value of x_0, each broadcastable to a sample."""

Prediction = Literal["epsilon", "v"]

_DRAWN_AT_ONCE = 16
"""Steps whose noise is drawn together: all 1,000 of ancestral sampling would not fit. Samples depend on it."""


@dataclass(frozen=True)
class Schedule:
    """Noise levels at the timesteps t = 0 … T − 1.

    Attributes:
        betas: variance added at step t, (T,) float64.
        alpha_bars: product of 1 − beta up to and including step t, the fraction of x_0's variance left in
            x_t, (T,) float64.
    """

    betas: Tensor
    alpha_bars: Tensor

    @classmethod
    def linear(cls, objective: spec_objective.DDPM) -> Self:
        """Betas linear in t from beta_start to beta_end (Ho et al. 2020, arXiv:2006.11239, section 4)."""
        betas = torch.linspace(
            objective.beta_start, objective.beta_end, objective.timesteps, dtype=torch.float64
        )
        return cls(betas=betas, alpha_bars=torch.cumprod(1 - betas, dim=0))

    def to(self, device: torch.device | str) -> Schedule:
        """The same schedule with its tables on a device, still float64."""
        return Schedule(betas=self.betas.to(device), alpha_bars=self.alpha_bars.to(device))


def add_noise(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε (Ho et al. 2020, eq. 4).

    Args:
        schedule: noise levels.
        x0: images, (N, C, H, W).
        noise: standard normal ε, (N, C, H, W).
        t: timesteps, (N,) int64 in 0 … T − 1.

    Returns:
        Noised images, (N, C, H, W), in the dtype of x0.
    """
    signal, sigma = _levels(schedule, t, like=x0)
    return signal * x0 + sigma * noise


def target(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor, prediction: Prediction) -> Tensor:
    """What the network is trained to predict at x_t.

    `epsilon`: the noise (Ho et al. 2020, eq. 14). `v`: √ᾱ_t ε − √(1 − ᾱ_t) x_0 (Salimans & Ho 2022,
    arXiv:2202.00512, section 4).

    Args:
        schedule: noise levels.
        x0: images, (N, C, H, W).
        noise: the ε in x_t, (N, C, H, W).
        t: timesteps, (N,) int64.
        prediction: which of the two.

    Returns:
        (N, C, H, W).
    """
    if prediction == "epsilon":
        return noise
    signal, sigma = _levels(schedule, t, like=x0)
    return signal * noise - sigma * x0


def denoising_loss(
    model: Model, schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor, prediction: Prediction
) -> Tensor:
    """Mean squared error of the prediction, one number per image (Ho et al. 2020, eq. 14).

    Args:
        model: the network.
        schedule: noise levels.
        x0: images, (N, C, H, W).
        noise: standard normal ε, (N, C, H, W).
        t: timesteps, (N,) int64.
        prediction: what the model predicts.

    Returns:
        Error averaged over channels and pixels, (N,).
    """
    predicted = model(add_noise(schedule, x0, noise, t), t)
    return (predicted - target(schedule, x0, noise, t, prediction)).square().flatten(1).mean(1)


def ddim_timesteps(timesteps: int, steps: int) -> Tensor:
    """Timesteps that the sampler visits: evenly spaced and ending in T − 1, where noise is purest.

    This is the "trailing" spacing of Lin et al. 2023 (arXiv:2305.08891, table 2): a sampler that starts below
    T − 1 feeds pure noise to the network, which expects a trace of the image.

    Args:
        timesteps: T.
        steps: how many to visit, 1 … T.

    Returns:
        (steps,) int64, descending from T − 1.
    """
    if not 1 <= steps <= timesteps:
        raise ValueError(f"steps = {steps}: between 1 and timesteps = {timesteps}")
    visited = timesteps - torch.arange(steps, dtype=torch.float64) * (timesteps / steps)
    return visited.round().long() - 1


def sample_ddim(
    model: Model,
    schedule: Schedule,
    noise: Tensor,
    steps: int,
    prediction: Prediction,
    clip: Clip | None = None,
    eta: float = 0.0,
) -> Tensor:
    """Generate images with DDIM (Song et al. 2021, arXiv:2010.02502, eq. 12 and 16).

    At η = 0 this is a deterministic map from noise. At η = 1 each step draws from the posterior q(x_t' | x_t,
    x_0) at the predicted x_0; over all T steps this is ancestral sampling with the posterior's variance, β̃
    (Ho et al. 2020, algorithm 2). The noise of a sample follows from its starting point (see
    `jobs.diffusion.increments`).

    The last step goes to ᾱ = 1, so it returns the last x_0 prediction. At t near T an error of ε is divided
    by √ᾱ ≈ 0.006 on its way to x_0: without clipping of x_0, a model early in its training diverges there.

    Args:
        model: the network; the caller has put it in evaluation mode.
        schedule: noise levels.
        noise: x_T, standard normal, (N, C, H, W).
        steps: network evaluations, 1 … T.
        prediction: what the model predicts.
        clip: lowest and highest pixel, each (C, 1, 1), to which every x_0 prediction is clipped; ε is then
            made consistent with it, because early, wild predictions otherwise saturate the image.
        eta: η, the fraction of the posterior's standard deviation that is drawn anew, 0 … 1.

    Returns:
        Images, (N, C, H, W), in the dtype of noise.
    """
    visited = ddim_timesteps(len(schedule.alpha_bars), steps)
    levels = [*schedule.alpha_bars.cpu()[visited].tolist(), 1.0]
    draws = increments(noise, steps - 1, _DRAWN_AT_ONCE)
    x = noise
    with torch.no_grad():
        for t, alpha_bar, next_alpha_bar in zip(visited.tolist(), levels, levels[1:], strict=False):
            predicted = model(x, torch.full((len(x),), t, dtype=torch.int64, device=x.device))
            x0, epsilon = split_prediction(x, predicted, alpha_bar, prediction)
            if clip is not None:
                x0 = x0.clamp(*clip)
                epsilon = (x - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5
            spread = eta * _posterior_variance(alpha_bar, next_alpha_bar) ** 0.5
            kept = max(1 - next_alpha_bar - spread**2, 0.0)  # rounding must not make it negative
            x = next_alpha_bar**0.5 * x0 + kept**0.5 * epsilon
            if spread:  # not at the last step
                x = x + spread * next(draws)
    return x


def _posterior_variance(alpha_bar: float, next_alpha_bar: float) -> float:
    # Of x at the next, lower noise level given x at this one and x_0; β̃ where they are neighbours (Ho et al.
    # 2020, eq. 7).
    return (1 - next_alpha_bar) / (1 - alpha_bar) * (1 - alpha_bar / next_alpha_bar)


def _levels(schedule: Schedule, t: Tensor, *, like: Tensor) -> tuple[Tensor, Tensor]:
    # √ᾱ_t and √(1 − ᾱ_t) as (N, 1, 1, 1): roots in float64, as 1 − ᾱ_t cancels at small t.
    alpha_bar = schedule.alpha_bars[t].reshape(-1, *[1] * (like.ndim - 1))
    return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)


def split_prediction(
    x: Tensor, predicted: Tensor, alpha_bar: float, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    """The image and the noise that the network predicts from x_t.

    Args:
        x: noised images, (N, C, H, W), all at one timestep.
        predicted: the network's output, (N, C, H, W).
        alpha_bar: ᾱ_t.
        prediction: what the output estimates.

    Returns:
        Estimates of x_0 and of ε, (N, C, H, W) each.
    """
    signal, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    if prediction == "epsilon":
        return (x - sigma * predicted) / signal, predicted
    return signal * x - sigma * predicted, signal * predicted + sigma * x
