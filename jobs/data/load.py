"""The training and test samples of a run, by the kind of its data.

Called by the worker with the prepared images of the store, and by the figures. Synthetic kinds draw from
seeds and need no images. numpy, no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.arrays import Labels
from tausweep.jobs.data.split import Split
from tausweep.jobs.spec.data import Images, Vectors
from tausweep.jobs.spec.kinds import builder_of
from tausweep.storage.errors import DataError


def load(data: Images | Vectors, images: NDArray[np.uint8] | None, labels: Labels | None = None) -> Split:
    """Load the training and test samples of a run.

    The builder of a kind of `Images` is called as `builder(data, images, labels)`, that of `Vectors` as
    `builder(data)`.

    Args:
        data: settings of one kind of data.
        images: the whole prepared image set, uint8 (N, C, H, W), may be memory-mapped; None for synthetic
            kinds.
        labels: class of each image, (N,) int64, of image sets with classes; those of the digits are known.

    Raises:
        DataError: there are too few images, or none.
    """
    if isinstance(data, Images):
        if images is None:
            raise DataError(f"data = {data.data}: the prepared images are missing")
        prepared: Split = builder_of(data)(data, images, labels)
        return prepared
    drawn: Split = builder_of(data)(data)
    return drawn
