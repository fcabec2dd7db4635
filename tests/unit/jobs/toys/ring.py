"""A toy data set in one file: points on a ring. Its line of registration is in the test that trains on it."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tausweep.jobs.data.split import Split
from tausweep.jobs.seeds import derive
from tausweep.jobs.spec.data import Vectors
from tausweep.jobs.spec.fields import Positive


class Ring(Vectors):
    """Points of the plane at one distance from its origin."""

    builder: ClassVar[str] = f"{__name__}:ring_split"

    data: Literal["ring"]
    radius: Positive = Field(2.0, description="distance from the origin")


def ring_split(data: Ring) -> Split:
    """Points at random angles, (n, 2) and (test_samples, 2)."""
    start = data.n * data.subset
    return Split(
        train=_points(data.radius, derive(0, "train_set"), start + data.n)[start:],
        test=_points(data.radius, derive(0, "test_set"), data.test_samples),
    )


def _points(radius: float, seed: int, count: int) -> np.ndarray:
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    return (radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)
