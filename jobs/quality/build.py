"""Builds the quality measures of a run's samples.

Called by the evaluation. Feature extractors and their packages are loaded only for runs that name one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch

from tausweep.jobs.data.split import Split
from tausweep.jobs.quality.frechet import Gaussian, distance
from tausweep.jobs.quality.pixel_pca import Quality, pixel_quality
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.data import GaussianMixture
from tausweep.jobs.spec.metrics import FRECHET_POPULATION
from tausweep.jobs.spec.run_spec import RunSpec

if TYPE_CHECKING:
    from tausweep.jobs.quality.feature_distance import FeatureInputs


def build_qualities(
    spec: RunSpec, split: Split, features: FeatureInputs | None, device: torch.device, ranks: Ranks
) -> list[Quality]:
    """The measures of quality of a run; the first of images refuses samples that are not finite.

    Args:
        spec: the run.
        split: its training and test samples.
        features: the inputs of an extractor; None if there are none.
        device: where an extractor computes.
        ranks: the ranks, which share the extraction of features.
    """
    if isinstance(spec.data, GaussianMixture):
        return [_frechet_population(spec.data)]
    if split.pool is None:
        return []
    qualities: list[Quality] = [pixel_quality(split, spec.evaluation.frechet_dims)]
    if spec.evaluation.extractor is not None:
        from tausweep.jobs.quality.feature_distance import FeatureDistance, FeatureInputs

        qualities.append(FeatureDistance(spec.evaluation, split, features or FeatureInputs(), device, ranks))
    return qualities


def _frechet_population(data: GaussianMixture) -> Quality:
    """The distance to the exact mean 0 and covariance variance·I + mu²·1 of the mixture.

    It depends on no other moments.
    """
    covariance = data.variance * np.eye(data.d) + data.mu**2
    population = Gaussian(mean=np.zeros(data.d), factor=scipy.linalg.cholesky(covariance))
    return lambda samples: {FRECHET_POPULATION: distance(Gaussian.of(samples), population)}
