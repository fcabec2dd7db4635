"""The Fréchet distance of generated and held-out images in a network's features; FID with Inception's.

Built by `jobs.quality.build` for runs that name an extractor, and called at every evaluation. Images reach
the network from memory, as bytes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tausweep.jobs.data.images import to_unit
from tausweep.jobs.data.split import Split
from tausweep.jobs.quality.extractors import build_extractor
from tausweep.jobs.quality.frechet import Gaussian, distance
from tausweep.jobs.quality.reference_sets import (
    KeepNothing,
    StatisticsStore,
    extract,
    reference_sets,
    reference_statistics,
)
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.evaluation import Evaluation
from tausweep.jobs.spec.extractor import INCEPTION, metric_name, used_extractor
from tausweep.jobs.spec.metrics import spread_name

_extractor = functools.lru_cache(maxsize=2)(
    build_extractor
)  # Inception takes a second to load: not with every run


@dataclass(frozen=True, kw_only=True)
class FeatureInputs:
    """The inputs, beside spec and images, for measuring distances in features.

    Attributes:
        weights: file of Inception's weights; None for runs without Inception.
        statistics: the store of statistics of held-out images.
    """

    weights: Path | None = None
    statistics: StatisticsStore = field(default_factory=KeepNothing)


class FeatureDistance:
    """The mean distance of samples to one or several disjoint sets of held-out images, and its spread."""

    def __init__(
        self,
        evaluation: Evaluation,
        split: Split,
        inputs: FeatureInputs,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        assert evaluation.extractor is not None
        used = used_extractor(evaluation.extractor, evaluation.extractor_weights)
        self.name = metric_name(used)
        self.split, self.device, self.ranks = split, device, ranks
        self.extractor = _extractor(used, inputs.weights if used == INCEPTION else None, device)
        self.references = [
            reference_statistics(part, self.extractor, inputs.statistics, device, ranks)
            for part in reference_sets(to_bytes(split.test, split), evaluation.fid_references or 1)
        ]

    def __call__(self, samples: NDArray[np.float32]) -> dict[str, float]:
        """The distance averaged over the reference sets and, for several sets, its standard deviation.

        Args:
            samples: (M, C, H, W) as the model makes them, finite, M at least 2.
        """
        generated = Gaussian.of(
            extract(to_bytes(samples, self.split), self.extractor, self.device, self.ranks)
        )
        distances = [distance(generated, reference) for reference in self.references]
        metrics = {self.name: float(np.mean(distances))}
        if len(distances) > 1:
            metrics[spread_name(self.name)] = float(np.std(distances, ddof=1))
        return metrics


def to_bytes(images: NDArray[np.float32], split: Split) -> NDArray[np.uint8]:
    """Images of the model (N, C, H, W) → uint8, rounded and clipped, as an image file would have them."""
    assert split.mean is not None
    unit = to_unit(images, split.mean, split.pixel_scale)
    rounded: NDArray[np.uint8] = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return rounded
