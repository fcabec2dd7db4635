"""Which measures of quality a run's samples can have.

Called by the evaluation. Networks that extract features, and the packages that bring them, are loaded only for runs
that name one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from jobs.quality import Quality, pixel_quality
from jobs.ranks import Ranks
from jobs.spec import RunSpec
from jobs.split import Split

if TYPE_CHECKING:
    from jobs.feature_quality import FeatureInputs


def build_qualities(
    spec: RunSpec, split: Split, features: FeatureInputs | None, device: torch.device, ranks: Ranks
) -> list[Quality]:
    """The measures of quality of a run; the first of images refuses samples that are not finite.

    Args:
        spec: the run.
        split: what it is tested on.
        features: what an extractor needs; None if there is nothing for it.
        device: where an extractor computes.
        ranks: share the images that it extracts features of.
    """
    if split.pool is None:
        return []
    found: list[Quality] = [pixel_quality(split, spec.evaluation.frechet_dims)]
    if spec.evaluation.extractor is not None:
        from jobs.feature_quality import FeatureDistance, FeatureInputs

        found.append(FeatureDistance(spec.evaluation, split, features or FeatureInputs(), device, ranks))
    return found
