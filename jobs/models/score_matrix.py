"""The trained part of the random-features model as a module, to be counted, checkpointed and optimised."""

from __future__ import annotations

import torch
from torch import nn

from tausweep.jobs.spec.model import RandomFeatures, features


class ScoreMatrix(nn.Module):
    """The trained part A of the model, (d, p) float64, 0 at the start as in the paper."""

    def __init__(self, d: int, p: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.zeros(d, p, dtype=torch.float64))


def build_score_matrix(
    settings: RandomFeatures,
    shape: tuple[int, ...],
    *,
    bf16: bool = False,  # noqa: ARG001 - float64 without labels: the spec allows no other
    classes: int | None = None,  # noqa: ARG001
) -> ScoreMatrix:
    """A for data of a shape (d,)."""
    return ScoreMatrix(shape[0], features(settings.psi_p, shape[0]))
