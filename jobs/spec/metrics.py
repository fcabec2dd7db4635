"""The names of metrics, for the modules that measure them and those that read them from the store.

A metric is a row (tau, t, metric, value) of the store; t is None where it has no diffusion time. Imports
nothing of ours.
"""

from __future__ import annotations

import re
from typing import Final

TRAIN_LOSS: Final = "train_loss"
TEST_LOSS: Final = "test_loss"
EXCESS_LOSS = "excess_loss"
"""The test loss less the smallest that any network can have."""
SCORE_ERROR = "score_error"

F_MEM = "f_mem"
CLASS_MATCH = "class_match"
TRAINING_IMAGES = "n"
"""Of a class (see `of_class`): its training images."""
SAMPLES = "samples"
"""Of a class (see `of_class`): the samples that its f_mem rests on."""

FID = "fid"
"""The Fréchet distance in Inception's features, and in no other network's."""
FRECHET = "frechet_"
"""How the names of all other Fréchet distances begin."""
FRECHET_PCA = f"{FRECHET}pca"
FRECHET_POPULATION = f"{FRECHET}population"
QUALITY_PATTERN = rf"{FRECHET}\w+|{FID}"
"""Regular expression of what a criterion of quality may read."""

SPECTRAL_TAU_GEN = "spectral_tau_gen"
SPECTRAL_TAU_MEM = "spectral_tau_mem"
SPECTRAL_TAU_MEM_WITH_SUB_BULK = "spectral_tau_mem_with_sub_bulk"

_SPREAD = "_sd"


def spread_name(metric: str) -> str:
    """The name of the standard deviation of a distance over its reference sets."""
    return f"{metric}{_SPREAD}"


def is_quality(metric: str) -> bool:
    """Whether a metric is a distance between generated and held-out images.

    The spread over reference sets is not.
    """
    return (metric == FID or metric.startswith(FRECHET)) and not metric.endswith(_SPREAD)


def of_class(metric: str, label: int | str) -> str:
    """The name of a metric of one class: `f_mem_class3`."""
    return f"{metric}_class{label}"


def class_of(metric: str, name: str) -> int | None:
    """The class of a per-class metric: 3 for `f_mem_class3` and the metric `f_mem`; else None."""
    match = re.fullmatch(rf"{re.escape(metric)}_class(\d+)", name)
    return int(match[1]) if match else None
