"""The noise that stochastic samplers add, drawn separately for each sample.

The sample's starting point seeds its generator. So a sample is a function of its starting point and depends
neither on other samples of the batch nor on the ranks. Called by the samplers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor


def increments(noise: Tensor, count: int, at_once: int | None = None) -> Iterator[Tensor]:
    """Standard normal draws for each step of a sampler.

    Args:
        noise: starting points, (N, …).
        count: how many, at least 0.
        at_once: how many to draw at a time, which bounds memory; None: all. The values depend on it.

    Yields:
        `count` tensors (N, …), on the device of noise.
    """
    if not len(noise):
        yield from noise.new_empty((count, *noise.shape))
        return
    generators = [_seeded_by(start) for start in noise.cpu()]
    for begin in range(0, count, at_once or count or 1):
        shape = (min(at_once or count, count - begin), *noise.shape[1:])
        drawn = [torch.randn(shape, generator=generator, dtype=noise.dtype) for generator in generators]
        yield from torch.stack(drawn, dim=1).to(noise.device)


def _seeded_by(start: Tensor) -> torch.Generator:
    digest = hashlib.sha256(start.contiguous().numpy().tobytes()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
