"""Score matching of the random-features model in closed form: its losses after any number of updates.

At one diffusion time t, with the expectations U, V of `jobs.random_features.moments`, the loss of
arXiv:2505.17638 (sec. 4) is

    L(A) = E‖√Δ_t s_A(x_t) + z‖²/d = 1 + Δ_t/(d p) Tr(A U Aᵀ) + 2√Δ_t/(d√p) Tr(A V),

the mean squared error of the predicted noise per component: 1 at A = 0, where training starts. It is
quadratic, so full-batch gradient descent A ← A − lr ∇L is independent along each eigenvector of U: with
eigenvalue λ, the distance to the minimum shrinks by 1 − R λ per update, R = 2 lr Δ_t/(d p).

Time: τ counts updates. The paper's training time is lr·τ/d², in which the rate is 2 Δ_t λ/ψ_p; its timescales
ψ_p/(Δ_t λ) leave the factor 2 out, ours 1/(Rλ) do not. Called by the trainee and by analyses; torch-free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from tausweep.jobs.arrays import Floats
from tausweep.jobs.random_features.moments import Moments, noise_variance


@dataclass(frozen=True, kw_only=True)
class ScoreLosses:
    """The losses of one A.

    Attributes:
        train_loss: L over the training samples and all noise.
        test_loss: L over the distribution that they are from and all noise.
        score_error: E‖s_A(x_t) − ∇ log P_t(x_t)‖²/d over the distribution, at least 0.
    """

    train_loss: float
    test_loss: float
    score_error: float


@dataclass(frozen=True, kw_only=True)
class ScoreMatching:
    """The loss as a quadratic form.

    Attributes:
        train: U (p, p) and V (p, d) of the training samples.
        population: those of the distribution that they are from.
        t: diffusion time, above 0.
        score_square: E‖∇ log P_t‖²/d.
    """

    train: Moments
    population: Moments
    t: float
    score_square: float

    @property
    def delta(self) -> float:
        """Δ_t, the variance of the noise."""
        return noise_variance(self.t)

    def loss(self, A: Floats, moments: Moments) -> float:
        """L(A) of a (d, p) matrix under moments."""
        d, p = A.shape
        quadratic = np.einsum("ij,ij->", A @ moments.U, A)
        linear = np.einsum("ij,ji->", A, moments.V)
        return float(1 + self.delta / (d * p) * quadratic + 2 * math.sqrt(self.delta / p) / d * linear)

    def losses(self, A: Floats) -> ScoreLosses:
        """The losses of a (d, p) matrix."""
        train, test = self.loss(A, self.train), self.loss(A, self.population)
        # By Stein's lemma E[σ ∇log Pᵀ] = −V/√Δ, so the test loss is Δ times the score error plus a part that
        # no A reduces.
        least = 1 - self.delta * self.score_square
        return ScoreLosses(train_loss=train, test_loss=test, score_error=(test - least) / self.delta)


class ClosedForm:
    """Gradient descent on a `ScoreMatching` loss from A = 0, at any τ without the steps before.

    In the eigenbasis Q of U, A(τ) Q = −√(p/Δ_t) Vᵀ Q g(λ, τ), with g = (1 − (1 − Rλ)^τ)/λ.
    Making it costs O(p³), weights O(d p²).

    Attributes:
        problem: the loss.
        rate: R, the rate of an eigenvalue 1 per update.
        eigenvalues: (p,) of the training U, ascending, at least 0.
    """

    def __init__(self, problem: ScoreMatching, lr: float) -> None:
        p, d = problem.train.V.shape
        self.problem = problem
        self.rate = 2 * lr * problem.delta / (d * p)
        eigenvalues, self._basis = eigh(problem.train.U)
        self.eigenvalues: Floats = np.maximum(eigenvalues, 0)  # below 0 by rounding only
        self._v = self._basis.T @ problem.train.V  # (p, d)

    @property
    def largest_lr(self) -> float:
        """Gradient descent diverges at this learning rate and above: R λ_max = 2."""
        p, d = self.problem.train.V.shape
        return float(d * p / (self.problem.delta * self.eigenvalues[-1]))

    def weights(self, tau: float) -> Floats:
        """A (d, p) after τ updates."""
        p = len(self.eigenvalues)
        A: Floats = -math.sqrt(p / self.problem.delta) * (self._v.T * self._gain(tau)) @ self._basis.T
        return A

    def _gain(self, tau: float) -> Floats:
        x = self.rate * self.eigenvalues
        with np.errstate(divide="ignore"):  # ln 0 where one update reaches the minimum: 0^τ is 0
            log = np.log1p(-np.minimum(x, 1))
        shrunk = np.expm1(tau * log) if tau else np.zeros_like(x)  # (1 − x)^τ − 1, exact also where x ≪ 1
        beyond = x > 1  # alternates in sign: only integer τ are meaningful
        shrunk[beyond] = (1 - x[beyond]) ** round(tau) - 1
        gain: Floats = np.divide(
            -shrunk, self.eigenvalues, out=self.rate * tau + 0 * x, where=self.eigenvalues > 0
        )
        return gain


@dataclass(frozen=True, kw_only=True)
class SpectralTimescales:
    """Timescales from the eigenvalues of U, 1/(R λ) in updates, in which the distance shrinks by e.

    The spectrum has three parts (arXiv:2505.17638, sec. 4): the d largest eigenvalues carry the data's linear
    structure; the n after them, or as many as there are, the single samples; the remaining p − n − d see
    neither. Of the second part the n − d largest are the main bulk, of which the theorem's statement is,
    τ_mem ∝ n. Those below them, d or p − n if that is fewer, are a sub-bulk near s², where the third part
    lies too; a mean over the whole part does not go like n. For n ≤ d and n ≥ p the main bulk is the whole
    part.

    Attributes:
        tau_gen: 1/R over the mean of the first part, when its bulk is learned.
        tau_gen_slowest: 1/R over its smallest eigenvalue.
        tau_mem: 1/R over the mean of the second part's main bulk, when the samples are learned.
        tau_mem_fastest: 1/R over its largest eigenvalue: memorisation begins.
        tau_mem_slowest: 1/R over its smallest: the paper's τ_mem.
        tau_mem_with_sub_bulk: 1/R over the mean of the whole second part.
    """

    tau_gen: float
    tau_gen_slowest: float
    tau_mem: float
    tau_mem_fastest: float
    tau_mem_slowest: float
    tau_mem_with_sub_bulk: float


def spectral_timescales(eigenvalues: Floats, rate: float, *, n: int, d: int) -> SpectralTimescales | None:
    """Timescales of gradient descent from the spectrum of U.

    Args:
        eigenvalues: (p,) ascending.
        rate: R, the rate of an eigenvalue 1 per update.
        n: training samples.
        d: dimension of the data.

    Returns:
        None where p ≤ d: the features are too few to memorise anything, there is no second part.
    """
    p = len(eigenvalues)
    if p <= d:
        return None
    first, second = eigenvalues[p - d :], eigenvalues[max(0, p - d - n) : p - d]
    main = second[-(n - d) :] if d < n < p else second
    return SpectralTimescales(
        tau_gen=float(1 / (rate * first.mean())),
        tau_gen_slowest=float(1 / (rate * first[0])),
        tau_mem=float(1 / (rate * main.mean())),
        tau_mem_fastest=float(1 / (rate * main[-1])),
        tau_mem_slowest=float(1 / (rate * main[0])),
        tau_mem_with_sub_bulk=float(1 / (rate * second.mean())),
    )
