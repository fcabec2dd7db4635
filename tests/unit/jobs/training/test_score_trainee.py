"""Runs with random features: what they refuse, what they measure, and that they train as their closed form says."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from tausweep.jobs.data.load import load
from tausweep.jobs.models.build import count_parameters
from tausweep.jobs.models.score_matrix import ScoreMatrix
from tausweep.jobs.random_features.closed_form import ScoreMatching
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.score_trainee import (
    ClosedFormTrainee,
    ExactGradientTrainee,
    score_matching,
    score_trainee,
)
from tausweep.storage.errors import SettingError

SETTINGS: dict[str, Any] = {
    "data": "gaussian",
    "d": 5,
    "n": 12,
    "model": "random_features",
    "psi_p": 4,
    "objective": "score_at_t",
    "diffusion_time": 0.1,
    "optimizer": "gd",
    "lr": 20.0,
    "batch": "n",
    "steps": 400,
    "seed": 0,
}


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_settings(SETTINGS | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"psi_p": 2.5}, r"psi_p = 2\.5: .*with d = 5 it is 12\.5; the nearest psi_p are 2\.4 and 2\.6"),
        ({"batch": 4}, "batch = 4: model = random_features needs batch = n"),
        ({"optimizer": "sgd"}, "optimizer = 'sgd': .* needs optimizer = gd or adam"),
        ({"data": "gaussian_mixture"}, "data = 'gaussian_mixture': .* needs data = gaussian or student_t"),
        ({"clip": 1.0}, r"clip = 1\.0: .* does not use it"),
        ({"activation": "relu"}, "activation = 'relu'"),
        ({"data": "student_t", "nu": 2}, "nu = 2"),
        ({"covariance": "powerlaw"}, "covariance = 'powerlaw': did you mean 'power_law'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        spec(**changes)


def test_score_at_t_needs_random_features() -> None:
    network = {"model": "unet", "data": "digits", "W": 4, "fingerprint": "unprepared"}
    gone = {"d", "psi_p"}
    with pytest.raises(SettingError, match="needs model = random_features; this run has unet"):
        RunSpec.from_settings({k: v for k, v in (SETTINGS | network).items() if k not in gone})


def test_p_counts_the_trained_weights() -> None:
    assert count_parameters(spec().model, spec().data.shape) == 100


def test_a_learning_rate_beyond_the_largest_curvature_is_refused_with_the_limit() -> None:
    with pytest.raises(SettingError, match="gradient descent diverges from") as error:
        score_trainee(spec(lr=1e6), load(spec().data, None))
    limit = float(error.value.problem.split("diverges from ")[1].split()[0])
    score_trainee(spec(lr=0.999 * limit), load(spec().data, None))


def test_the_closed_form_jumps_to_what_single_steps_reach() -> None:
    run = spec(data="student_t", nu=4.0)
    trainee, measure = score_trainee(run, load(run.data, None))
    assert isinstance(trainee, ClosedFormTrainee)
    assert trainee.advance(3, 400) == (400, None)
    problem = score_matching(run, load(run.data, None))
    model = ScoreMatrix(5, 20)
    stepped = ExactGradientTrainee(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=20.0),
        U=torch.from_numpy(problem.train.U),
        V=torch.from_numpy(problem.train.V),
        delta=problem.delta,
    )
    tau = 0
    while tau < 400:
        before = problem.losses(stepped.model.A.detach().numpy()).train_loss
        tau, loss = stepped.advance(tau, 400)
        assert float(loss) == pytest.approx(before, abs=1e-12)
    np.testing.assert_allclose(trainee.model.A.detach(), stepped.model.A.detach(), atol=1e-10)
    names = [(name, t) for name, t, _ in measure(trainee.model).metrics]
    spectral = ("spectral_tau_gen", "spectral_tau_mem", "spectral_tau_mem_with_sub_bulk")
    metrics = ("train_loss", "test_loss", "score_error", *spectral)
    assert names == [(name, 0.1) for name in metrics]


def residual(problem: ScoreMatching, A: np.ndarray) -> np.ndarray:
    """E[(√Δ s + z) σᵀ], (d, p), of which the gradient is made."""
    return np.sqrt(problem.delta / A.shape[1]) * A @ problem.train.U + problem.train.V.T


def test_adam_is_adam_on_the_exact_gradient() -> None:
    run = spec(optimizer="adam", lr=0.01, psi_p=2)
    trainee, _ = score_trainee(run, load(run.data, None))
    problem = score_matching(run, load(run.data, None))
    A, m, v = (np.zeros((5, 10)) for _ in range(3))
    for step in range(1, 31):
        trainee.advance(step - 1, 400)
        g = 2 / 5 * np.sqrt(problem.delta / 10) * residual(problem, A)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        A = A - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(trainee.model.A.detach(), A, atol=1e-10)


def test_a_checkpoint_resumes_both_trainees_exactly() -> None:
    for changes in ({}, {"optimizer": "adam", "lr": 0.01}):
        run = spec(**changes)
        whole, resumed = (score_trainee(run, load(run.data, None))[0] for _ in range(2))
        tau = 0
        while tau < 20:
            tau, _ = whole.advance(tau, 10 if tau < 10 else 20)
            if tau == 10:
                assert resumed.load(deepcopy(whole.state(tau))) == 10
        tau = 10
        while tau < 20:
            tau, _ = resumed.advance(tau, 20)
        assert torch.equal(whole.model.A, resumed.model.A)


@pytest.mark.parametrize("changes", [{"covariance": "two_point"}, {"data": "student_t", "nu": 3.0}])
def test_subsets_are_stretches_of_one_sequence_of_samples(changes: dict[str, Any]) -> None:
    long, second = (load(spec(n=n, subset=i, **changes).data, None) for n, i in ((24, 0), (12, 1)))
    np.testing.assert_array_equal(long.train[12:], second.train)
    assert not np.isin(long.test[:24], long.train).any()
