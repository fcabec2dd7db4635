"""The optimisers against their equations, stepped in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tausweep.jobs.spec.optimizer import SGD, Adam, AdamW, GradientDescent
from tausweep.jobs.training.optimizers import build_optimizer

STEPS = 12

# f(θ) = ½(θ − c)ᵀA(θ − c) + ¼Σθ⁴: its gradient is known and differs from step to step.
RNG = np.random.default_rng(5)
ROOT = RNG.normal(size=(4, 4))
A, C, START = ROOT @ ROOT.T + np.eye(4), RNG.normal(size=4), RNG.normal(size=4)


def gradient(theta: np.ndarray) -> np.ndarray:
    return A @ (theta - C) + theta**3


def torch_path(settings: Adam | AdamW | SGD | GradientDescent) -> np.ndarray:
    """θ after each step, (STEPS, 4): gradients by autograd, updates by the optimiser."""
    theta = nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = build_optimizer(settings, [theta])
    matrix, centre, path = torch.from_numpy(A), torch.from_numpy(C), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((theta - centre) @ matrix @ (theta - centre) / 2 + theta.pow(4).sum() / 4).backward()
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)


def adam_path(lr: float, beta1: float, beta2: float, decay: float) -> Iterator[np.ndarray]:
    # Moments as explicit weighted sums over all gradients so far, not as recursions.
    theta, seen = START.copy(), []
    for tau in range(1, STEPS + 1):
        seen.append(gradient(theta))
        ages = np.arange(tau)[::-1][:, None]
        first = (beta1**ages * seen).sum(0) / (beta1**ages).sum()
        second = (beta2**ages * np.square(seen)).sum(0) / (beta2**ages).sum()
        theta = theta - lr * decay * theta - lr * first / (np.sqrt(second) + 1e-8)
        yield theta


def momentum_path(lr: float, momentum: float) -> Iterator[np.ndarray]:
    theta, seen = START.copy(), []
    for tau in range(1, STEPS + 1):
        seen.append(gradient(theta))
        theta = theta - lr * (momentum ** np.arange(tau)[::-1][:, None] * seen).sum(0)
        yield theta


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Adam(lr=0.05, beta1=0.8, beta2=0.95), adam_path(0.05, 0.8, 0.95, 0)),
        (
            AdamW(optimizer="adamw", lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.3),
            adam_path(0.05, 0.8, 0.95, 0.3),
        ),
        (SGD(optimizer="sgd", lr=0.01, momentum=0.9), momentum_path(0.01, 0.9)),
        (GradientDescent(optimizer="gd", lr=0.01), momentum_path(0.01, 0)),
    ],
    ids=["adam", "adamw", "sgd", "gd"],
)
def test_each_optimiser_follows_its_equation(
    settings: Adam | AdamW | SGD | GradientDescent, expected: Iterator[np.ndarray]
) -> None:
    np.testing.assert_allclose(torch_path(settings), np.array(list(expected)), rtol=1e-10)


def test_adamw_without_decay_is_adam() -> None:
    np.testing.assert_array_equal(
        torch_path(AdamW(optimizer="adamw", lr=0.05, weight_decay=0)), torch_path(Adam(lr=0.05))
    )


@pytest.mark.parametrize(
    ("settings", "plain"),
    [
        (Adam(lr=0.05), partial(torch.optim.Adam, lr=0.05)),
        (
            AdamW(optimizer="adamw", lr=0.05, weight_decay=0.3),
            partial(torch.optim.AdamW, lr=0.05, weight_decay=0.3),
        ),
        (SGD(optimizer="sgd", lr=0.01, momentum=0.9), partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_updates_and_state_are_those_of_torch_to_the_bit(
    settings: Adam | AdamW | SGD, plain: Callable[..., torch.optim.Optimizer]
) -> None:
    ours, theirs = (nn.Parameter(torch.from_numpy(START.copy())) for _ in range(2))
    optimizer, reference = build_optimizer(settings, [ours]), plain([theirs], fused=True)
    for _ in range(STEPS):
        for theta in (ours, theirs):
            theta.grad = torch.from_numpy(gradient(theta.detach().numpy()))
        optimizer.step()
        reference.step()
        assert torch.equal(ours, theirs)
    assert str(optimizer.state_dict()) == str(reference.state_dict())
