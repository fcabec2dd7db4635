"""The residual MLP: shapes, its number of parameters, and its time embedding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.jobs.models.mlp import MLP, time_embedding


@pytest.mark.parametrize("shape", [(8,), (1, 8, 8), (3, 4, 4)])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_prediction_has_the_shape_and_type_of_its_input(shape: tuple[int, ...], bf16: bool) -> None:
    model = MLP(shape, width=16, blocks=2)
    model.bf16 = bf16
    x, t = torch.randn(5, *shape), torch.arange(5)
    assert model(x, t).shape == x.shape
    assert model(x, t).dtype == torch.float32


@settings(deadline=None)
@given(d=st.integers(1, 70), half=st.integers(1, 40), blocks=st.integers(1, 4))
def test_p_follows_its_formula(d: int, half: int, blocks: int) -> None:
    w = 2 * half
    with torch.device("meta"):
        p = sum(parameter.numel() for parameter in MLP((d,), w, blocks).parameters())
    assert p == 2 * d * w + w + d + blocks * 2 * w * (w + 2)


def test_the_papers_network_has_102_thousand_parameters() -> None:
    assert sum(parameter.numel() for parameter in MLP((8,), 128, 3).parameters()) == 102_024


def test_the_prediction_is_the_one_of_its_equation_in_float64() -> None:
    torch.manual_seed(0)
    model = MLP((3,), width=6, blocks=2).double()
    x, t = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 500, 999])
    w = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    omega = 1e-4 ** (np.arange(3) / 3)
    angles = t.numpy()[:, None] * omega
    embedding = np.hstack([np.sin(angles), np.cos(angles)])
    hidden = x.numpy() @ w["first.weight"].T + w["first.bias"]
    erf = np.vectorize(math.erf)
    for k in range(2):
        inner = (hidden + embedding) @ w[f"blocks.{k}.first.weight"].T + w[f"blocks.{k}.first.bias"]
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        total = hidden + inner @ w[f"blocks.{k}.second.weight"].T + w[f"blocks.{k}.second.bias"]
        centred = total - total.mean(1, keepdims=True)
        hidden = centred / np.sqrt(
            (centred**2).mean(1, keepdims=True) + 1e-5
        )  # gains 1 and shifts 0 at first
    expected = hidden @ w["last.weight"].T + w["last.bias"]
    np.testing.assert_allclose(model(x, t).detach().numpy(), expected, atol=1e-4)  # angles are float32


def test_times_apart_have_embeddings_apart() -> None:
    embedding = time_embedding(torch.arange(1000), 128)
    distances = torch.cdist(embedding, embedding) + 1e9 * torch.eye(1000)
    assert distances.min() > 0.1


def test_each_sample_is_predicted_on_its_own() -> None:
    model = MLP((8,), width=16, blocks=2)
    x, t = torch.randn(6, 8), torch.arange(6) * 100
    torch.testing.assert_close(model(x, t)[2:4], model(x[2:4], t[2:4]))
