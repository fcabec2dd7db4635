"""Compares a network with the exactly known distribution of its training set.

For data = gaussian_mixture under the DDPM objective: the error of the network's noise estimate against the
best possible one, and its test loss minus the smallest that any network can have. Called by evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tausweep.jobs.diffusion.ddpm import Model, add_noise, split_prediction
from tausweep.jobs.diffusion.objective import Denoising, Objective
from tausweep.jobs.evaluation.gaussian_mixture import Mixture
from tausweep.jobs.spec.data import GaussianMixture
from tausweep.jobs.spec.run_spec import RunSpec


@dataclass(frozen=True, kw_only=True)
class Population:
    """The mixture that a run's samples are drawn from, and how they are noised."""

    mixture: Mixture
    objective: Denoising

    def score_errors(self, model: Model, x0: Tensor, noise: Tensor, t: int) -> Tensor:
        """Squared error per coordinate of the network's noise estimate against E[ε | x_t], for each sample.

        It is (1 − ᾱ_t)/d times the squared error of the score, −E[ε | x_t]/√(1 − ᾱ_t).

        Args:
            model: the network.
            x0: samples, (N, d).
            noise: standard normal ε, (N, d).
            t: timestep.

        Returns:
            (N,), in the dtype of x0.
        """
        schedule = self.objective.schedule
        times = torch.full((len(x0),), t, device=x0.device)
        x = add_noise(schedule, x0, noise, times)
        alpha_bar = float(schedule.alpha_bars[t])
        _, estimate = split_prediction(x, model(x, times), alpha_bar, self.objective.prediction)
        _, best = self.mixture.posterior_means(x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)
        return (estimate - best).square().mean(1)

    def optimal_loss(self, t: int) -> float:
        """The smallest population loss at timestep t of the run's objective."""
        alpha_bar = float(self.objective.schedule.alpha_bars[t])
        signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        of_data, of_noise = (0.0, 1.0) if self.objective.prediction == "epsilon" else (-noise, signal)
        return self.mixture.optimal_loss(signal, noise, of_data=of_data, of_noise=of_noise)


def population_of(spec: RunSpec, objective: Objective) -> Population | None:
    """The population of a run, None where its score is not known exactly."""
    if (
        spec.training.conditional
        or not isinstance(spec.data, GaussianMixture)
        or not isinstance(objective, Denoising)
    ):
        return None
    mixture = Mixture(d=spec.data.d, mu=spec.data.mu, variance=spec.data.variance)
    return Population(mixture=mixture, objective=objective)
