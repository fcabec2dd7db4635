"""A toy model in one file: one hidden layer. Its settings load no torch, its builder does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tausweep.jobs.spec.fields import Count
from tausweep.jobs.spec.model import ModelKind

if TYPE_CHECKING:
    from torch import nn


class Perceptron(ModelKind):
    """One hidden layer that is told the time as it is."""

    builder: ClassVar[str] = f"{__name__}:build_perceptron"

    model: Literal["perceptron"]
    hidden: Count = Field(8, description="hidden features")


def build_perceptron(
    settings: Perceptron, shape: tuple[int, ...], *, bf16: bool, classes: int | None
) -> nn.Module:
    """The network, float32 and without labels."""
    import torch
    from torch import Tensor, nn

    assert not bf16
    assert classes is None
    size = math.prod(shape)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(size + 1, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, size)
            )

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            inputs = torch.cat([x.flatten(1), t[:, None].to(x.dtype) / 1000], dim=1)
            predicted: Tensor = self.layers(inputs)
            return predicted.reshape(x.shape)

    return Network()
