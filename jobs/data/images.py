"""Prepared images of a run: which of them are trained on, and which are held out.

Called by the plan, which checks that there are enough, and by `jobs.data.load` with the prepared uint8 NCHW
array. Knows nothing of the store. numpy, no torch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.arrays import Bytes, Floats32, Labels
from tausweep.jobs.data.long_tail import long_tailed_indices
from tausweep.jobs.data.split import Split
from tausweep.jobs.spec.data import Images, Labelled
from tausweep.storage.errors import DataError


def training_places(count: int, data: Images, labels: Labels | None = None) -> slice | NDArray[np.int64]:
    """Indices of the training subset among all images; none of them is held out.

    Args:
        count: number of images.
        data: n, subset and test_images; imbalance and head_class of images with classes.
        labels: class of each image, (count,), needed for a long-tailed subset.

    Raises:
        DataError: there are too few; the message has both numbers and the largest n.
    """
    if isinstance(data, Labelled) and data.imbalance is not None:
        if labels is None:
            raise DataError(
                f"imbalance = {data.imbalance:g}: these images have no classes; leave imbalance out"
            )
        pool = labels[: max(0, count - data.test_images)]
        return long_tailed_indices(
            pool, data.n, data.imbalance, subset=data.subset, head=data.head_class or 0
        )
    _require_enough(count, data)
    return slice(data.n * data.subset, data.n * (data.subset + 1))


def _require_enough(count: int, data: Images) -> None:
    pool, needed = count - data.test_images, data.n * (data.subset + 1)
    if needed <= pool:
        return
    largest = max(pool, 0) // (data.subset + 1)
    advice = f"the largest n is {largest}" if largest >= 2 else "lower subset or test_images, or add images"
    raise DataError(
        f"n = {data.n}, subset = {data.subset}: n·(subset + 1) = {needed} training images are needed, but of {count} "
        f"images test_images = {data.test_images} are held out and {max(pool, 0)} are left; {advice}"
    )


def prepared_split(data: Images, images: Bytes, labels: Labels | None) -> Split:
    """The training subset, the held-out images and the pool of those that no run holds out (see `split`)."""
    parts = split(images, data, labels)
    assert parts.mean is not None
    return replace(parts, pool=training_pool(images, data, parts.mean))


def split(images: Bytes, data: Images, labels: Labels | None = None) -> Split:
    """The training subset and the held-out images, as floats centred on the training subset.

    Pixels go to 0…1, minus the mean of the training subset (one number per channel), times pixel_scale.

    Args:
        images: all images, (N, C, H, W), an array or a memory map; only what is needed is read.
        data: n, subset, test_images and pixel_scale.
        labels: class of each image, (N,) int64; None where there are no classes.

    Raises:
        DataError: there are too few images (see `training_places`).
    """
    places = training_places(len(images), data, labels)
    held_out = slice(len(images) - data.test_images, None)
    train = images[places]
    mean = train.mean(axis=(0, 2, 3), dtype=np.float64) / 255
    return Split(
        train=_to_model(train, mean, data.pixel_scale),
        test=_to_model(images[held_out], mean, data.pixel_scale),
        mean=mean,
        train_labels=None if labels is None else labels[places],
        test_labels=None if labels is None else labels[held_out],
        pixel_scale=data.pixel_scale,
    )


def training_pool(images: Bytes, data: Images, mean: NDArray[np.float64], limit: int = 10_000) -> Floats32:
    """Images that no run of this test_images holds out, evenly spaced over all of them.

    Args:
        images: all images, (N, C, H, W).
        data: test_images and pixel_scale.
        mean: the mean that `split` subtracted, (C,).
        limit: how many at most.

    Returns:
        (min(limit, N − test_images), C, H, W) float32, centred and scaled as the training images are.
    """
    pool = len(images) - data.test_images
    chosen = np.arange(min(pool, limit)) * pool // min(pool, limit)
    return _to_model(images[chosen], mean, data.pixel_scale)


def to_unit(x: Floats32, mean: NDArray[np.float64], pixel_scale: float) -> Floats32:
    """Undo the centring and scaling of `split`: (M, C, H, W) → pixels in 0…1, not clipped."""
    return (x / np.float32(pixel_scale) + mean.astype(np.float32)[:, None, None]).astype(np.float32)


def _to_model(images: Bytes, mean: NDArray[np.float64], pixel_scale: float) -> Floats32:
    x = images.astype(np.float32)
    x /= 255
    x -= mean.astype(np.float32)[:, None, None]
    x *= np.float32(pixel_scale)
    return x
