"""Training of the random-features score model: by its closed form, or step by step with exact gradients.

Both train on the loss over all noise (`jobs.random_features.closed_form`), in float64 on the CPU; nothing
random is drawn after the start, so interruptions do not change a run. Called by the training loop in place of
the networks' trainee and evaluator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tausweep.jobs.data.split import Split
from tausweep.jobs.data.vectors import elliptical
from tausweep.jobs.evaluation.measurement import Measurement, Row
from tausweep.jobs.models.score_matrix import ScoreMatrix, build_score_matrix
from tausweep.jobs.random_features.closed_form import ClosedForm, ScoreMatching, spectral_timescales
from tausweep.jobs.random_features.moments import noise_variance, population_moments, train_moments
from tausweep.jobs.seeds import derive
from tausweep.jobs.spec.data import Gaussian, StudentT
from tausweep.jobs.spec.metrics import SPECTRAL_TAU_GEN, SPECTRAL_TAU_MEM, SPECTRAL_TAU_MEM_WITH_SUB_BULK
from tausweep.jobs.spec.model import RandomFeatures, features
from tausweep.jobs.spec.objective import ScoreAtT
from tausweep.jobs.spec.optimizer import GradientDescent
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.optimizers import build_optimizer
from tausweep.jobs.training.trainee import Optimised
from tausweep.storage.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class ClosedFormTrainee:
    """Gradient descent that jumps from one evaluation to the next.

    Attributes:
        model: A.
        form: A after any number of updates.
    """

    model: ScoreMatrix
    form: ClosedForm

    def state(self, tau: int) -> dict[str, Any]:
        """A checkpoint needs only tau, but contains A for readers of the model."""
        return {"tau": tau, "model": self.model.state_dict()}

    def load(self, state: dict[str, Any]) -> int:
        """Go on from a checkpoint's state; returns its tau."""
        self.model.load_state_dict(state["model"])
        return int(state["tau"])

    def advance(self, tau: int, until: int) -> tuple[int, Tensor | None]:  # noqa: ARG002 - of those that can't jump
        """All updates to the next evaluation at once."""
        with torch.no_grad():
            self.model.A.copy_(torch.from_numpy(self.form.weights(until)))
        return until, None


@dataclass(frozen=True, kw_only=True)
class ExactGradientTrainee(Optimised):
    """Any optimiser on the loss over all noise and all samples, one update at a time.

    Attributes:
        model: A.
        U: (p, p) of the training samples.
        V: (p, d) of the training samples.
        delta: variance of the noise.
    """

    model: ScoreMatrix
    U: Tensor
    V: Tensor
    delta: float

    def advance(self, tau: int, until: int) -> tuple[int, Tensor]:  # noqa: ARG002 - of those that can jump
        """One update with the exact gradient; the loss is that before it."""
        A = self.model.A
        d, p = A.shape
        slope, linear = A.detach() @ self.U, 2 * math.sqrt(self.delta / p) / d * self.V.T
        A.grad = 2 * self.delta / (d * p) * slope + linear
        # L − 1 = ⟨A, ∇L + linear⟩/2 of this quadratic form.
        loss = 1 + (A.detach() * (A.grad + linear)).sum() / 2
        self.optimizer.step()
        return tau + 1, loss


def score_matching(spec: RunSpec, split: Split) -> ScoreMatching:
    """The loss of a run with random features: its weights W are drawn from the run's seed."""
    assert isinstance(spec.model, RandomFeatures)
    assert isinstance(spec.objective, ScoreAtT)
    assert isinstance(spec.data, Gaussian | StudentT)
    d, t, sigma = spec.data.d, spec.objective.diffusion_time, spec.model.activation
    rng = np.random.Generator(np.random.Philox(derive(spec.seed, "init")))
    W, law = rng.standard_normal((features(spec.model.psi_p, spec.data.shape[0]), d)), elliptical(spec.data)
    return ScoreMatching(
        train=train_moments(W, split.train.astype(np.float64), t, sigma),
        population=population_moments(W, law, t, sigma),
        t=t,
        score_square=law.score_square(math.exp(-t), noise_variance(t)),
    )


def score_trainee(
    spec: RunSpec, split: Split
) -> tuple[ClosedFormTrainee | ExactGradientTrainee, Callable[[nn.Module], Measurement]]:
    """The trainee of a run with random features before its first step, and its evaluator.

    Raises:
        SettingError: gradient descent diverges at this learning rate.
    """
    assert isinstance(spec.model, RandomFeatures)
    problem, model = score_matching(spec, split), build_score_matrix(spec.model, spec.data.shape)
    times: list[Row] = []
    if not isinstance(spec.optimizer, GradientDescent):
        trainee: ClosedFormTrainee | ExactGradientTrainee = ExactGradientTrainee(
            model=model,
            optimizer=build_optimizer(spec.optimizer, model.parameters()),
            U=torch.from_numpy(problem.train.U),
            V=torch.from_numpy(problem.train.V),
            delta=problem.delta,
        )
    else:
        form = ClosedForm(problem, spec.optimizer.lr)
        if spec.optimizer.lr >= form.largest_lr:
            limit = f"gradient descent diverges from {form.largest_lr:.6g} on (2 over the largest curvature); lower lr"
            raise SettingError("lr", spec.optimizer.lr, limit)
        scales = spectral_timescales(form.eigenvalues, form.rate, n=spec.data.n, d=spec.data.shape[0])
        if scales is not None:
            times = [
                (SPECTRAL_TAU_GEN, problem.t, scales.tau_gen),
                (SPECTRAL_TAU_MEM, problem.t, scales.tau_mem),
                (SPECTRAL_TAU_MEM_WITH_SUB_BULK, problem.t, scales.tau_mem_with_sub_bulk),
            ]
        trainee = ClosedFormTrainee(model=model, form=form)

    def measure(network: nn.Module) -> Measurement:
        assert isinstance(network, ScoreMatrix)
        losses = problem.losses(network.A.detach().numpy())
        return Measurement(metrics=[(name, problem.t, value) for name, value in vars(losses).items()] + times)

    return trainee, measure
