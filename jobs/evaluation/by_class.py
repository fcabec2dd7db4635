"""Measurements per class: f_mem, and the numbers of samples and training images behind it.

Called by evaluation, for runs that are conditional or ask for it (`by_class`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tausweep.jobs.arrays import Labels
from tausweep.jobs.evaluation.gap_ratio import GAP_THRESHOLD, memorised
from tausweep.jobs.evaluation.measurement import Generated, Row
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours
from tausweep.jobs.spec.metrics import CLASS_MATCH, F_MEM, SAMPLES, TRAINING_IMAGES, of_class


def memorised_by_class(generated: Generated) -> Iterator[Row]:
    """The metrics of `class_metrics`, for runs that are conditional or ask for them."""
    labels, classes = generated.split.train_labels, generated.classes
    if labels is not None and (classes is not None or generated.spec.evaluation.by_class):
        yield from class_metrics(generated.neighbours, labels, classes)


def class_metrics(
    neighbours: Neighbours, train_labels: Labels, generated_for: Labels | None
) -> Iterator[Row]:
    """f_mem of the samples of each class that has training images.

    Args:
        neighbours: those of all M generated samples.
        train_labels: class of each training image, (n,) int64.
        generated_for: class of each sample, (M,) int64; None where samples have no class, and each then
            counts for the class of its nearest training image.

    Yields:
        (metric, None, value) for each class c: `n_class<c>` training images, `samples_class<c>` samples and
        `f_mem_class<c>`, which a class without samples lacks. If samples were generated for classes, also
        `class_match`, the fraction of samples whose nearest training image is of that class.
    """
    nearest = train_labels[neighbours.nn1]
    classes = nearest if generated_for is None else generated_for
    flags = memorised(neighbours.d1, neighbours.d2, GAP_THRESHOLD)
    for label in np.unique(train_labels).tolist():
        own = flags[classes == label]
        yield of_class(TRAINING_IMAGES, label), None, float((train_labels == label).sum())
        yield of_class(SAMPLES, label), None, float(len(own))
        if len(own):
            yield of_class(F_MEM, label), None, float(own.mean())
    if generated_for is not None:
        yield CLASS_MATCH, None, float((nearest == generated_for).mean())
