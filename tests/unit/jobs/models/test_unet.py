"""The network: its size, its call and what its settings switch."""

from __future__ import annotations

import io
import json
import sys

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from tausweep.jobs.models import count
from tausweep.jobs.models.build import count_parameters
from tausweep.jobs.models.unet import build_unet
from tausweep.jobs.spec import model as spec_model


def unet(W=8, multipliers=(1, 2), attention=(False, True), **others):
    return spec_model.UNet(W=W, multipliers=multipliers, attention=attention, **{"layers": 1, **others})


def modules(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)])
def test_the_answer_is_a_tensor_shaped_like_the_images(shape):
    network = build_unet(unet(), shape)
    with torch.no_grad():
        prediction = network(torch.zeros(2, *shape), torch.tensor([0, 999]))
    assert prediction.shape == (2, *shape)


def test_the_answer_depends_on_the_timestep():
    network = build_unet(unet(), (1, 8, 8)).eval()
    with torch.no_grad():
        first, second = network(torch.ones(2, 1, 8, 8), torch.tensor([0, 999]))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    ("model", "shape", "p"),
    [
        (unet(32, (1, 2, 4), (False, True, True), layers=2), (1, 32, 32), 4_023_233),  # the paper's 4·10⁶
        (unet(32, (1, 2, 4), (False, True, True), layers=1), (1, 32, 32), 2_785_249),
        (unet(16, (1, 1), (False, True)), (1, 8, 8), 72_113),
        (unet(16, (1, 2), (False, True)), (1, 8, 8), 176_849),
    ],
)
def test_known_sizes(model, shape, p):
    assert count_parameters(model, shape) == p


@pytest.mark.parametrize("W", [4, 12, 20])
def test_p_is_what_is_trained(W):
    model = unet(W, attention=(True, True), layers=2)
    trained = sum(x.numel() for x in build_unet(model, (3, 8, 8)).parameters() if x.requires_grad)
    assert count_parameters(model, (3, 8, 8)) == trained


def test_the_wrapper_adds_no_state():
    network = build_unet(unet(), (1, 8, 8))
    assert all(name.startswith("unet.") for name in network.state_dict())


@pytest.mark.parametrize("W", [4, 8, 12, 20, 32, 36])
def test_attention_heads_fill_the_channels_at_every_width(W):
    for layer in modules(build_unet(unet(W), (1, 8, 8)), Attention):
        assert layer.heads >= 1
        assert layer.inner_dim == layer.query_dim


@pytest.mark.parametrize(("W", "groups"), [(4, 4), (20, 20), (32, 32), (36, 18), (40, 20), (64, 32)])
def test_groups_are_the_largest_divisor_of_W_up_to_32(W, groups):
    with torch.device("meta"):
        network = build_unet(unet(W), (1, 8, 8))
    assert {norm.num_groups for norm in modules(network, nn.GroupNorm)} == {groups}


@pytest.mark.parametrize(
    ("settings", "blind"),
    [
        ({"W": 16, "multipliers": (1, 1)}, True),
        ({"W": 32, "multipliers": (1, 1)}, True),
        ({"W": 16, "multipliers": (1, 1), "norm_groups": 4}, False),
        ({"W": 16, "multipliers": (1, 2)}, False),
        ({"W": 64, "multipliers": (1, 1)}, False),
    ],
)
def test_norms_of_one_channel_a_group_hide_the_time(settings, blind):
    model = unet(**settings)
    torch.manual_seed(0)
    network, x = build_unet(model, (1, 8, 8)).eval(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        change = network(x, torch.tensor([0, 0])) - network(x, torch.tensor([999, 999]))
    assert (change.abs().max() < 1e-5) == model.blind == blind == bool(model.remark)


def test_norm_groups_do_not_change_p():
    shape = (1, 8, 8)
    assert count_parameters(unet(W=16, norm_groups=4), shape) == count_parameters(unet(W=16), shape)


def test_attention_is_on_the_levels_asked_for():
    network = build_unet(unet(attention=(False, True)), (1, 8, 8)).unet
    assert [bool(modules(block, Attention)) for block in network.down_blocks] == [False, True]
    assert [bool(modules(block, Attention)) for block in network.up_blocks] == [True, False]
    assert modules(network.mid_block, Attention)


def test_dropout_is_in_every_resnet_block():
    network = build_unet(unet(dropout=0.25), (1, 8, 8))
    assert {block.dropout.p for block in modules(network, ResnetBlock2D)} == {0.25}


def test_the_command_counts_parameters_from_json_to_json(monkeypatch, capsys):
    """As a process of its own it is started by the plan, and its tests."""
    request = {"settings": unet().model_dump(mode="json"), "shape": [1, 8, 8]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([request, request])))
    count.main()
    assert json.loads(capsys.readouterr().out) == [count_parameters(unet(), (1, 8, 8))] * 2
