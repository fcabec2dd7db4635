"""The training and test samples of a run, by the kind of its data.

Called by the worker with the prepared images of the store, and by the figures. Synthetic kinds draw from seeds and
need no images. numpy, no torch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.data.digits import digits_labels
from tausweep.jobs.data.images import split, training_pool
from tausweep.jobs.data.split import Labels, Split
from tausweep.jobs.data.vectors import elliptical_split, mixture_split
from tausweep.jobs.spec.data import Digits, Gaussian, GaussianMixture, Images, StudentT
from tausweep.jobs.spec.fields import Group
from tausweep.storage.errors import DataError


def load(data: Group, images: NDArray[np.uint8] | None, labels: Labels | None = None) -> Split:
    """What a run trains on and is tested on.

    Args:
        data: settings of one kind of data.
        images: the whole prepared image set, uint8 (N, C, H, W), may be memory-mapped; None for synthetic kinds.
        labels: class of each image, (N,) int64, of image sets that have some; those of the digits are known.

    Raises:
        DataError: there are too few images, or none.
    """
    if isinstance(data, Images):
        if images is None:
            raise DataError(f"data = {data.data}: the prepared images are missing")
        found = split(images, data, digits_labels() if isinstance(data, Digits) else labels)
        assert found.mean is not None
        return replace(found, pool=training_pool(images, data, found.mean))
    if isinstance(data, GaussianMixture):
        return mixture_split(data)
    if isinstance(data, Gaussian | StudentT):
        return elliptical_split(data)
    raise NotImplementedError(type(data).__name__)
