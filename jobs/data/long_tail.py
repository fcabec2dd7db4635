"""Long-tailed training subsets: how many images of each class, and which ones.

The profile is that of long-tailed CIFAR (Cui et al. 2019, arXiv:1901.05555): class frequencies fall
geometrically from the most to the least frequent class. Called by the split of images, with labels. Pure
numpy; draws no random numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.arrays import Labels
from tausweep.storage.errors import DataError


def class_counts(n: int, classes: int, ratio: float, head: int = 0) -> NDArray[np.int64]:
    """Images of each class in a long-tailed set of n.

    n_c ∝ ratio^(−r/(classes − 1)) with the rank r = (c − head) mod classes; rounded by largest remainder, so
    that the counts sum to n and the smaller of two ranks is never the rarer.

    Args:
        n: images in all.
        classes: how many classes, at least 2.
        ratio: frequency of the most frequent class over that of the least frequent, at least 1.
        head: the most frequent class; the classes after it follow, the last one is followed by class 0.

    Returns:
        (classes,) int64, the counts by class.

    Raises:
        DataError: head is not a class, or n is so small that a class would have no image.
    """
    if classes < 2 or not 0 <= head < classes:
        raise DataError(
            f"head_class = {head}: there are {classes} classes, 0…{classes - 1}; a long tail needs two of them"
        )
    weights = ratio ** (-np.arange(classes) / (classes - 1))
    shares = n * weights / weights.sum()
    counts = np.floor(shares).astype(np.int64)
    left = n - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:left]] += 1
    counts = np.sort(counts)[::-1]
    if counts[-1] == 0:
        raise DataError(
            f"n = {n}, imbalance = {ratio:g}: the rarest of {classes} classes would have no image; "
            "raise n or lower imbalance"
        )
    return np.roll(counts, head)


def long_tailed_indices(
    labels: Labels, n: int, ratio: float, *, subset: int = 0, head: int = 0
) -> NDArray[np.int64]:
    """The images of a long-tailed training set, chosen by position alone.

    Of the images of class c, in the order in which they lie, subset i takes numbers i·n_c … (i + 1)·n_c − 1:
    subsets are disjoint, and subset 0 of one n is contained in that of twice n.

    Args:
        labels: (N,) classes 0…C−1 of the images that may be trained on, without those held out.
        n: images to choose.
        ratio: see `class_counts`.
        subset: which of the disjoint sets.
        head: see `class_counts`.

    Returns:
        (n,) int64, ascending indices into labels.

    Raises:
        DataError: a class has too few images; the message names it, with both numbers.
    """
    there = np.bincount(labels)
    wanted = class_counts(n, len(there), ratio, head)
    if (short := wanted * (subset + 1) - there).max() > 0:
        worst = int(short.argmax())
        raise DataError(
            f"n = {n}, imbalance = {ratio:g}, subset = {subset}: {wanted[worst] * (subset + 1)} images of class {worst} "
            f"are needed for training, but there are {there[worst]}; lower n, subset or imbalance, or hold out fewer "
            "test_images"
        )
    chosen = [
        np.flatnonzero(labels == c)[subset * count : (subset + 1) * count] for c, count in enumerate(wanted)
    ]
    return np.sort(np.concatenate(chosen))
