"""A network against the exact population: a perfect one has no error, an imperfect one exactly its own."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tausweep.jobs.data.load import load
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation.population import Population, population_of
from tausweep.jobs.quality.build import build_qualities
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.run_spec import RunSpec

CPU = torch.device("cpu")
MIXTURE: dict[str, Any] = {
    "data": "gaussian_mixture",
    "d": 3,
    "mu": 0.9,
    "variance": 0.5,
    "model": "mlp",
    "W": 8,
    "n": 16,
    "lr": 1e-3,
    "batch": "n",
    "steps": 100,
    "seed": 0,
}


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_settings({**MIXTURE, **changes})


def population(**changes: Any) -> Population:
    made = spec(**changes)
    found = population_of(made, build_objective(made.objective, CPU))
    assert found is not None
    return found


class Perfect:
    """Predicts as well as can be, from the density itself by autograd, in float64."""

    def __init__(self, prediction: Literal["epsilon", "v"]) -> None:
        self.prediction = prediction
        betas = np.linspace(1e-4, 0.02, 1000)
        self.alpha_bars = np.cumprod(1 - betas)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = self.alpha_bars[int(t[0])]
        spread = math.sqrt(alpha_bar * 0.5 + 1 - alpha_bar)
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            parts = [
                torch.distributions.Normal(sign * 0.9 * alpha_bar**0.5, spread).log_prob(x).sum(1)
                for sign in (1, -1)
            ]
            (score,) = torch.autograd.grad(torch.logsumexp(torch.stack(parts), 0).sum(), x)
        epsilon = -((1 - alpha_bar) ** 0.5) * score
        if self.prediction == "epsilon":
            return epsilon
        x0 = (x.detach() - (1 - alpha_bar) ** 0.5 * epsilon) / alpha_bar**0.5
        return alpha_bar**0.5 * epsilon - (1 - alpha_bar) ** 0.5 * x0


def pairs(count: int) -> tuple[Tensor, Tensor]:
    test = load(spec(test_samples=count).data, None).test
    noise = torch.randn(test.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.from_numpy(test).double(), noise


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("t", [0, 150, 999])
def test_a_perfect_network_has_no_score_error(prediction: Literal["epsilon", "v"], t: int) -> None:
    x0, noise = pairs(50)
    errors = population(prediction=prediction).score_errors(Perfect(prediction), x0, noise, t)
    torch.testing.assert_close(errors, torch.zeros(50, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("prediction", "scale"), [("epsilon", 1.0), ("v", None)])
def test_the_error_is_that_of_the_noise_estimate_whatever_is_predicted(
    prediction: Literal["epsilon", "v"], scale: float | None
) -> None:
    perfect, t = Perfect(prediction), 300
    x0, noise = pairs(50)
    errors = population(prediction=prediction).score_errors(
        lambda x, times: perfect(x, times) + 0.2, x0, noise, t
    )
    expected = 0.04 * (perfect.alpha_bars[t] if scale is None else scale)  # ε̂ = √ᾱ v̂ + √(1 − ᾱ) x
    torch.testing.assert_close(errors, torch.full((50,), expected, dtype=torch.float64))


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("t", [10, 150, 500])
def test_the_objectives_own_loss_of_a_perfect_network_is_the_optimal_loss(
    prediction: Literal["epsilon", "v"], t: int
) -> None:
    made = spec(prediction=prediction)
    x0, noise = pairs(20_000)
    losses = build_objective(made.objective, CPU).loss(
        Perfect(prediction), x0, noise, torch.full((20_000,), t)
    )
    standard_error = float(losses.std()) / math.sqrt(len(losses))
    assert abs(float(losses.mean()) - population(prediction=prediction).optimal_loss(t)) < 4 * standard_error


def test_images_have_no_known_population() -> None:
    made = RunSpec.from_settings(
        {"fingerprint": "x", "n": 8, "W": 4, "lr": 1e-3, "batch": "n", "steps": 100, "seed": 0}
    )
    assert population_of(made, build_objective(made.objective, CPU)) is None


def test_the_distance_of_samples_is_that_to_the_exact_mean_and_covariance() -> None:
    made = spec()
    (quality,) = build_qualities(made, load(made.data, None), None, torch.device("cpu"), Ranks())
    samples = np.random.default_rng(2).normal(0.3, 1.4, (500, 3)).astype(np.float32)
    rows = samples.astype(np.float64)
    covariance = np.cov(rows.T)
    exact = 0.5 * np.eye(3) + 0.81 * np.ones((3, 3))
    root = np.real(scipy.linalg.sqrtm(covariance @ exact))  # Dowson & Landau's own formula
    expected = (rows.mean(0) ** 2).sum() + np.trace(covariance + exact - 2 * root)
    assert quality(samples) == {"frechet_population": pytest.approx(expected, rel=1e-6)}


def test_samples_of_the_population_are_near_it() -> None:
    made = spec(n=20_000)
    split = load(made.data, None)
    (quality,) = build_qualities(made, split, None, torch.device("cpu"), Ranks())
    assert quality(split.train)["frechet_population"] < 0.01
    assert quality(split.train * 1.2)["frechet_population"] > 0.05
