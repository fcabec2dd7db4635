"""Inputs and results of an evaluation, shared by metrics and the training loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tausweep.jobs.arrays import Labels
from tausweep.jobs.data.split import Split
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours
from tausweep.jobs.spec.run_spec import RunSpec

Row = tuple[str, float | None, float]
"""(metric, diffusion time or None, value)."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The inputs of a metric (see `jobs.evaluation.metrics`).

    Attributes:
        spec: the run.
        split: its training and test samples.
        network: the network, in evaluation mode and without gradients; every rank has it.
        samples: the generated samples, (M, C, H, W) or (M, d) float32, finite or not.
        classes: class that each was generated for, (M,) int64; None if the network takes no labels.
        neighbours: the two nearest training samples of each.
    """

    spec: RunSpec
    split: Split
    network: nn.Module
    samples: NDArray[np.float32]
    classes: Labels | None
    neighbours: Neighbours


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One evaluation.

    Attributes:
        metrics: the measured values; what could not be measured is missing.
        neighbours: each generated sample's two nearest training samples; None if nothing was generated.
        gallery: the first samples as images in 0…1, float32 (gallery, C, H, W); None for vectors.
    """

    metrics: list[Row]
    neighbours: Neighbours | None = None
    gallery: np.ndarray | None = None
