"""The network of a run by the kind of its model, and its parameter count p.

Importing it loads torch (seconds), so layers above import it only where a network is needed. diffusers, which takes as
long again, is loaded where a U-Net is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from tausweep.jobs.models.mlp import MLP
from tausweep.jobs.models.score_matrix import build_score_matrix
from tausweep.jobs.spec import model as spec_model
from tausweep.jobs.spec.fields import Group

if TYPE_CHECKING:
    from tausweep.jobs.models.unet import UNet


def build_model(
    model: Group, shape: tuple[int, ...], *, bf16: bool = False, classes: int | None = None
) -> nn.Module:
    """A network called as `network(x, t)`, or `network(x, t, labels)`, with weights drawn from torch's global generator.

    Args:
        model: settings of one kind of model.
        shape: of a sample: (C, H, W) or (d,).
        bf16: whether it computes in bfloat16 (autocast).
        classes: labels it is told, one more stands for none; None if it is told no label.
    """
    network: UNet | MLP
    match model:
        case spec_model.UNet():
            from tausweep.jobs.models.unet import build_unet

            network = build_unet(model, shape, classes)
        case spec_model.MLP():
            network = MLP(shape, model.W, model.blocks, classes)
        case spec_model.RandomFeatures():
            return build_score_matrix(model, shape)
        case _:
            raise NotImplementedError(type(model).__name__)
    network.bf16 = bf16
    return network


def count_parameters(model: Group, shape: tuple[int, ...], classes: int | None = None) -> int:
    """p, the number of trained parameters; nothing is allocated. The arguments are those of `build_model`."""
    with torch.device("meta"):
        network = build_model(model, shape, classes=classes)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
