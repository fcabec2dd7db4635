"""Objectives: how noise is added to a sample, the loss, and how samples are generated from noise.

One class per kind of objective, which uses the equations of another module. Called by the training step and
by evaluation with any `model(x, t)`. Knows neither the network nor the source of random numbers.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from tausweep.jobs.diffusion.ddpm import Clip, Model, Schedule, denoising_loss, sample_ddim
from tausweep.jobs.diffusion.increments import increments
from tausweep.jobs.diffusion.interpolants import (
    PATHS,
    TIME_SCALE,
    Path,
    sample_ode,
    sample_sde,
    velocity_loss,
)
from tausweep.jobs.spec import objective
from tausweep.jobs.spec.kinds import builder_of


class Objective(Protocol):
    """How a network is trained and sampled from."""

    def draw_t(self, count: int, generator: torch.Generator) -> Tensor:
        """Diffusion times of a training batch, (count,), on the generator's device."""

    def loss(self, model: Model, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The loss of each sample, (N,).

        Args:
            model: the network.
            x0: samples, (N, C, H, W) or (N, d).
            noise: standard normal, the shape of x0.
            t: diffusion times, (N,), as `draw_t` gives them.
        """

    def sample(self, model: Model, noise: Tensor, steps: int, clip: Clip | None) -> Tensor:
        """Generate samples from standard normal noise, in its shape and dtype.

        Args:
            model: the network; the caller has put it in evaluation mode.
            noise: (N, C, H, W) or (N, d).
            steps: network evaluations.
            clip: range to which predictions of the sample are clipped, if the sampler makes any.
        """


class Denoising:
    """DDPM: the network predicts the noise or v.

    Samples by DDIM, or ancestral (see `jobs.diffusion.ddpm`).
    """

    def __init__(self, settings: objective.DDPM, device: torch.device) -> None:
        self.schedule = Schedule.linear(settings).to(device)
        self.prediction = settings.prediction
        self.eta = settings.noise_share

    def draw_t(self, count: int, generator: torch.Generator) -> Tensor:
        """Timesteps, uniform in 0 … T − 1, (count,) int64."""
        timesteps = len(self.schedule.betas)
        return torch.randint(timesteps, (count,), generator=generator, device=generator.device)

    def loss(self, model: Model, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean squared error of the prediction, (N,)."""
        return denoising_loss(model, self.schedule, x0, noise, t, self.prediction)

    def sample(self, model: Model, noise: Tensor, steps: int, clip: Clip | None) -> Tensor:
        """DDIM at the η of the settings; at η = 1 over all timesteps this is ancestral sampling."""
        return sample_ddim(model, self.schedule, noise, steps, self.prediction, clip, self.eta)


class Flow:
    """Flow matching and stochastic interpolants (`jobs.diffusion.interpolants`): a velocity is predicted.

    Times are 1000·t with t from 0 (data) to 1 (noise), as the network sees them.
    """

    def __init__(self, path: Path, sampler: Literal["euler", "heun", "sde"]) -> None:
        self.path = path
        self.sampler = sampler

    def draw_t(self, count: int, generator: torch.Generator) -> Tensor:
        """Times, uniform in 0 … 1000, (count,) float32."""
        return TIME_SCALE * torch.rand(count, generator=generator, device=generator.device)

    def loss(self, model: Model, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean squared error of the velocity, (N,)."""
        return velocity_loss(model, self.path, x0, noise, t / TIME_SCALE)

    def sample(self, model: Model, noise: Tensor, steps: int, clip: Clip | None) -> Tensor:
        """By a solver of the ODE, or by the SDE.

        Heun's method evaluates the network twice per step, so it takes half as many steps.
        """
        if self.sampler == "sde":
            return sample_sde(model, self.path, noise, increments(noise, steps - 1), clip)
        if self.sampler == "heun":
            return sample_ode(model, self.path, noise, (steps + 1) // 2, "heun", clip)
        return sample_ode(model, self.path, noise, steps, "euler", clip)


def flow_matching(settings: objective.FlowMatching, device: torch.device) -> Flow:  # noqa: ARG001 - it has no tables
    """Flow matching on straight lines."""
    return Flow(PATHS["linear"], settings.sampler)


def interpolant(settings: objective.Interpolant, device: torch.device) -> Flow:  # noqa: ARG001 - it has no tables
    """A stochastic interpolant on its path."""
    return Flow(PATHS[settings.path], settings.sampler)


def build_objective(settings: objective.ObjectiveKind, device: torch.device) -> Objective:
    """The objective of a run, its tables on a device.

    The builder of a kind is called with the same arguments.

    Args:
        settings: of one kind of objective.
        device: where batches are.
    """
    built: Objective = builder_of(settings)(settings, device)
    return built
