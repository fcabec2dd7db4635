"""The network of a run by the kind of its model, and its parameter count p.

Importing it loads torch (seconds), so layers above import it only where a network is needed. diffusers is
loaded where a U-Net is built.
"""

from __future__ import annotations

import torch
from torch import nn

from tausweep.jobs.spec.kinds import builder_of
from tausweep.jobs.spec.model import ModelKind


def build_model(
    model: ModelKind, shape: tuple[int, ...], *, bf16: bool = False, classes: int | None = None
) -> nn.Module:
    """A network called as `network(x, t)` or `network(x, t, labels)`, its weights drawn by torch's generator.

    The builder of a kind of model is called with the same arguments.

    Args:
        model: settings of one kind of model.
        shape: shape of a sample, (C, H, W) or (d,).
        bf16: whether it computes in bfloat16 (autocast).
        classes: number of classes, without the null class; None for a network without labels.
    """
    network: nn.Module = builder_of(model)(model, shape, bf16=bf16, classes=classes)
    return network


def count_parameters(model: ModelKind, shape: tuple[int, ...], classes: int | None = None) -> int:
    """p, the number of trained parameters; nothing is allocated. The arguments are those of `build_model`."""
    with torch.device("meta"):
        network = build_model(model, shape, classes=classes)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
