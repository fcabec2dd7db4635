"""The residual multilayer perceptron: a small network for vectors, or for small images.

The network of the Gaussian-mixture experiment of arXiv:2505.17638: width 128, 3 blocks. Built by
`jobs.models.build`; knows nothing of diffusion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.jobs.spec import model as spec_model

_LOWEST_FREQUENCY = 1e-4


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of t at frequencies from 1 down to 1e-4 (Vaswani et al. 2017, section 3.5).

    Args:
        t: diffusion times, (N,); frequencies suit 0 … 1000.
        width: features, even.

    Returns:
        (N, width) float32: sin(ω_k t) for all k, then cos(ω_k t), with ω_k = 1e-4^(2k/width).
    """
    exponents = torch.arange(0, width, 2, device=t.device, dtype=torch.float32) / width
    angles = t.float()[:, None] * _LOWEST_FREQUENCY**exponents  # (N, width/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Block(nn.Module):
    """x ← norm(x + W₂ GELU(W₁(x + e))), e the time's embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.first(x + embedding))
        out: Tensor = self.norm(x + self.second(hidden))
        return out


class MLP(nn.Module):
    """Residual blocks of one width between two linear maps; images are flattened to vectors.

    Attributes:
        bf16: whether it computes under autocast to bfloat16; weights, input and output stay float32.
    """

    def __init__(self, shape: tuple[int, ...], width: int, blocks: int, classes: int | None = None) -> None:
        """Make the network, with weights drawn from torch's global generator.

        p = 2dw + w + d + blocks·2w(w + 2), with d the product of the shape and w the width.

        Args:
            shape: of one sample, (d,) or (C, H, W).
            width: w, even.
            blocks: residual blocks.
            classes: labels 0 … classes − 1 and the null class, classes, have an embedding each that is added
                to that of the time, (classes + 1)·w parameters more; None for a network without labels.
        """
        super().__init__()
        dimensions = math.prod(shape)
        self.width = width
        self.bf16 = False
        self.first = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(blocks)])
        self.last = nn.Linear(width, dimensions)
        self.of_class = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict from x (N, *shape), times t (N,) and, if conditional, labels (N,) int64.

        Returns:
            (N, *shape), in the dtype of x.
        """
        if (labels is None) != (self.of_class is None):
            raise ValueError("a conditional network needs labels; other networks take none")
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            embedding = time_embedding(t, self.width)
            if self.of_class is not None:
                embedding = embedding + self.of_class(labels)
            hidden = self.first(x.flatten(1))
            for block in self.blocks:
                hidden = block(hidden, embedding)
            prediction: Tensor = self.last(hidden)
        return prediction.reshape(x.shape).to(x.dtype)


def build_mlp(
    model: spec_model.MLP, shape: tuple[int, ...], *, bf16: bool = False, classes: int | None = None
) -> MLP:
    """The network of a run's settings (see `jobs.models.build.build_model`)."""
    network = MLP(shape, model.W, model.blocks, classes)
    network.bf16 = bf16
    return network
