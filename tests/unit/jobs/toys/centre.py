"""A toy metric in one file: how far the middle of the samples is from that of the held-out ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tausweep.jobs.evaluation.measurement import Generated, Row


def distance_of_centres(generated: Generated) -> Iterator[Row]:
    """`centre_distance`, in the unit of a sample."""
    apart = generated.samples.mean(axis=0) - generated.split.test.mean(axis=0)
    yield "centre_distance", None, float(np.linalg.norm(apart))
