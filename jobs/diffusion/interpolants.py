"""Flow matching and stochastic interpolants: paths from data to noise, their velocity and their samplers.

A path is x_t = α(t) x_0 + σ(t) ε with t from 0 (data, as in DDPM) to 1 (standard normal noise); flow-matching
papers count the other way round. The network predicts the velocity dx_t/dt and is called with 1000·t, the
range that time embeddings are made for. Called like `jobs.diffusion.ddpm`. Knows neither networks nor seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tausweep.jobs.diffusion.ddpm import Clip, Model
from tausweep.jobs.spec.objective import FLOW_TIME

TIME_SCALE = float(FLOW_TIME)
"""The network sees TIME_SCALE·t."""

Method = Literal["euler", "heun"]


@dataclass(frozen=True)
class Path:
    """Coefficients of x_t = α(t) x_0 + σ(t) ε, each a function of float64 t in [0, 1].

    The boundary values are α(0) = σ(1) = 1 and α(1) = σ(0) = 0.

    Attributes:
        alpha: coefficient of the data.
        sigma: coefficient of the noise, also the diffusion of the SDE sampler.
        alpha_dot: dα/dt.
        sigma_dot: dσ/dt, finite on all of [0, 1].
    """

    alpha: Callable[[Tensor], Tensor]
    sigma: Callable[[Tensor], Tensor]
    alpha_dot: Callable[[Tensor], Tensor]
    sigma_dot: Callable[[Tensor], Tensor]

    def at(self, t: Tensor, *, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """α, σ, dα/dt and dσ/dt at t (N,), from float64, as (N, 1, …) in the dtype of `like` (N, …)."""
        exact = t.double().reshape(-1, *[1] * (like.ndim - 1))
        alpha, sigma, alpha_dot, sigma_dot = (
            function(exact).to(like.dtype)
            for function in (self.alpha, self.sigma, self.alpha_dot, self.sigma_dot)
        )
        return alpha, sigma, alpha_dot, sigma_dot


def _latent_sigma_dot(t: Tensor) -> Tensor:
    return (1 + (1 - t) ** 2 - t * (1 - t)) / (1 + (1 - t) ** 2).sqrt()


PATHS: dict[str, Path] = {
    "linear": Path(lambda t: 1 - t, lambda t: t, lambda t: -torch.ones_like(t), torch.ones_like),
    "trigonometric": Path(
        lambda t: torch.cos(math.pi / 2 * t),
        lambda t: torch.sin(math.pi / 2 * t),
        lambda t: -math.pi / 2 * torch.sin(math.pi / 2 * t),
        lambda t: math.pi / 2 * torch.cos(math.pi / 2 * t),
    ),
    "latent": Path(
        lambda t: 1 - t,
        lambda t: t * (1 + (1 - t) ** 2).sqrt(),
        lambda t: -torch.ones_like(t),
        _latent_sigma_dot,
    ),
}
"""`linear`: α = 1 − t, σ = t, rectified flow (Liu et al. 2022, arXiv:2209.03003) and the optimal-transport path of
Lipman et al. 2022 (arXiv:2210.02747) at σ_min = 0. `trigonometric`: α = cos(πt/2), σ = sin(πt/2), variance preserving
(Albergo & Vanden-Eijnden 2022, arXiv:2209.15571). `latent`: the stochastic interpolant (1 − t) x_0 + t x_1 + γ(t) z
(Albergo et al. 2023, arXiv:2303.08797) with a latent z of its own and γ = t (1 − t); x_1 and z are both standard
normal, so that their sum is one noise with σ² = t² + γ², and the velocity is regressed on its mean given that noise."""


def interpolate(path: Path, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = α(t) x_0 + σ(t) ε.

    Args:
        path: the coefficients.
        x0: data, (N, …).
        noise: standard normal ε, (N, …).
        t: times, (N,) in [0, 1].

    Returns:
        (N, …), in the dtype of x0.
    """
    alpha, sigma, _, _ = path.at(t, like=x0)
    return alpha * x0 + sigma * noise


def velocity(path: Path, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network is trained to predict at x_t: dx_t/dt = α'(t) x_0 + σ'(t) ε (Albergo et al. 2023).

    Its mean given x_t is the velocity of the flow that carries noise to data (Lipman et al. 2022, theorem 2).
    Arguments and result as in `interpolate`.
    """
    _, _, alpha_dot, sigma_dot = path.at(t, like=x0)
    return alpha_dot * x0 + sigma_dot * noise


def velocity_loss(model: Model, path: Path, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of the predicted velocity, one number per sample (Lipman et al. 2022, eq. 9).

    Args:
        model: the network, called with x_t and 1000·t.
        path: the coefficients.
        x0: data, (N, …).
        noise: standard normal ε, (N, …).
        t: times, (N,) in [0, 1].

    Returns:
        Error averaged over all but the first dimension, (N,).
    """
    predicted = model(interpolate(path, x0, noise, t), TIME_SCALE * t)
    return (predicted - velocity(path, x0, noise, t)).square().flatten(1).mean(1)


def split(path: Path, x: Tensor, predicted: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the noise that a velocity implies at x_t: solves x = α x_0 + σ ε, v = α' x_0 + σ' ε.

    Args:
        path: the coefficients.
        x: x_t, (N, …).
        predicted: velocity v at x_t, (N, …).
        t: times, (N,) in [0, 1].

    Returns:
        x_0 and ε, (N, …) each.
    """
    alpha, sigma, alpha_dot, sigma_dot = path.at(t, like=x)
    determinant = alpha * sigma_dot - alpha_dot * sigma  # positive on all of [0, 1] for each path
    return (sigma_dot * x - sigma * predicted) / determinant, (
        alpha * predicted - alpha_dot * x
    ) / determinant


def score(path: Path, x: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """∇ log p_t(x) = −ε/σ(t) of a velocity (Albergo et al. 2023); arguments as in `split`, t above 0."""
    _, epsilon = split(path, x, predicted, t)
    return -epsilon / path.at(t, like=x)[1]


def sample_ode(
    model: Model, path: Path, noise: Tensor, steps: int, method: Method = "euler", clip: Clip | None = None
) -> Tensor:
    """Follow dx/dt = v(x, t) from noise at t = 1 to data at t = 0, on evenly spaced times.

    The last step returns the x_0 that the velocity implies, so the network is never evaluated at t = 0.

    Args:
        model: the network; the caller has put it in evaluation mode.
        path: the coefficients.
        noise: x_1, standard normal, (N, …).
        steps: steps, at least 1.
        method: `euler` (order 1, one network evaluation per step) or `heun` (order 2, two per step except the
            last).
        clip: bounds to which x_0 is clipped at each evaluation; ε is then made consistent with it, as in
            DDIM.

    Returns:
        Samples, (N, …), in the dtype of noise.
    """
    x, times = noise, _times(steps)
    with torch.no_grad():
        for now, then in itertools.pairwise(times):
            x0, v = _predict(model, path, x, now, clip)
            if then == 0:
                return x0
            ahead = x + (then - now) * v
            if method == "heun":
                _, v_ahead = _predict(model, path, ahead, then, clip)
                ahead = x + (then - now) * (v + v_ahead) / 2
            x = ahead
    return x


def sample_sde(
    model: Model, path: Path, noise: Tensor, increments: Iterable[Tensor], clip: Clip | None = None
) -> Tensor:
    """Follow dx = (v − w s) dt + √(2w) dW backwards from t = 1 to 0 by Euler–Maruyama.

    Here s is the score and w(t) = σ(t).

    Every w ≥ 0 gives the same densities p_t (Albergo et al. 2023, section 2); with w = σ the drift −w s = ε
    is finite at t = 0, as in Ma et al. 2024 (arXiv:2401.08740). The last step is the one of `sample_ode`.

    Args:
        model: the network; the caller has put it in evaluation mode.
        path: the coefficients.
        noise: x_1, standard normal, (N, …).
        increments: standard normal draws, (N, …) each, one for every step but the last; their count is steps
            − 1.
        clip: as in `sample_ode`.

    Returns:
        Samples, (N, …), in the dtype of noise.
    """
    draws = list(increments)
    x, times = noise, _times(len(draws) + 1)
    with torch.no_grad():
        for now, then, draw in zip(times, times[1:], draws, strict=False):
            _, v = _predict(model, path, x, now, clip)
            t = torch.full((len(x),), now, dtype=torch.float64, device=x.device)
            w, step = path.at(t, like=x)[1], now - then
            x = x - step * (v - w * score(path, x, v, t)) + (2 * w * step).sqrt() * draw
        return _predict(model, path, x, times[-2], clip)[0]


def _times(steps: int) -> list[float]:
    if steps < 1:
        raise ValueError(f"steps = {steps}: at least 1")
    return [1 - i / steps for i in range(steps)] + [0.0]


def _predict(model: Model, path: Path, x: Tensor, now: float, clip: Clip | None) -> tuple[Tensor, Tensor]:
    # x_0 and the velocity at time `now` above 0.
    t = torch.full((len(x),), now, dtype=torch.float64, device=x.device)
    v = model(x, (TIME_SCALE * t).to(x.dtype))
    x0, _ = split(path, x, v, t)
    if clip is not None:
        alpha, sigma, alpha_dot, sigma_dot = path.at(t, like=x)
        x0 = x0.clamp(*clip)
        v = alpha_dot * x0 + sigma_dot * (x - alpha * x0) / sigma
    return x0, v
