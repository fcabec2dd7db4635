"""What is measured class by class: f_mem, and on how many samples and training images it rests.

Called by evaluation, for runs that are conditional or ask for it (`by_class`). numpy, no torch.
"""

from __future__ import annotations

import numpy as np

from tausweep.jobs.data.split import Labels
from tausweep.jobs.evaluation.gap_ratio import GAP_THRESHOLD, memorised
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours


def class_metrics(
    neighbours: Neighbours, train_labels: Labels, asked: Labels | None
) -> list[tuple[str, None, float]]:
    """f_mem of the samples of each class that has training images.

    Args:
        neighbours: of every generated sample, M of them.
        train_labels: class of each training image, (n,) int64.
        asked: class that each sample was generated for, (M,) int64; None where samples have no class, and each then
            counts for the class of its nearest training image.

    Returns:
        (metric, None, value) for each class c: `n_class<c>` training images, `samples_class<c>` samples and
        `f_mem_class<c>`, which is left out of a class without samples. With classes that were asked for also
        `class_match`, the fraction of samples whose nearest training image is of that class.
    """
    nearest = train_labels[neighbours.nn1]
    of_class = nearest if asked is None else asked
    flags = memorised(neighbours.d1, neighbours.d2, GAP_THRESHOLD)
    rows: list[tuple[str, None, float]] = []
    for label in np.unique(train_labels).tolist():
        own = flags[of_class == label]
        rows.append((f"n_class{label}", None, float((train_labels == label).sum())))
        rows.append((f"samples_class{label}", None, float(len(own))))
        if len(own):
            rows.append((f"f_mem_class{label}", None, float(own.mean())))
    if asked is not None:
        rows.append(("class_match", None, float((nearest == asked).mean())))
    return rows
