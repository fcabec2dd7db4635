"""The network of a run by the kind of its model, and its parameter count p.

Importing it loads torch and diffusers (seconds), so layers above import it only where a network is needed.
"""

from __future__ import annotations

import torch
from torch import nn

from jobs import model_kinds
from jobs.fields import Group
from jobs.mlp import MLP
from jobs.score_matrix import build_score_matrix
from jobs.unet import UNet, build_unet


def build_model(model: Group, shape: tuple[int, ...], *, bf16: bool = False) -> nn.Module:
    """A network called as `network(x, t)`, with weights drawn from torch's global generator.

    Args:
        model: settings of one kind of model.
        shape: of a sample: (C, H, W) or (d,).
        bf16: whether it computes in bfloat16 (autocast).
    """
    network: UNet | MLP
    match model:
        case model_kinds.UNet():
            network = build_unet(model, shape)
        case model_kinds.MLP():
            network = MLP(shape, model.W, model.blocks)
        case model_kinds.RandomFeatures():
            return build_score_matrix(model, shape)
        case _:
            raise NotImplementedError(type(model).__name__)
    network.bf16 = bf16
    return network


def count_parameters(model: Group, shape: tuple[int, ...]) -> int:
    """p, the number of trained parameters; nothing is allocated."""
    with torch.device("meta"):
        network = build_model(model, shape)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
