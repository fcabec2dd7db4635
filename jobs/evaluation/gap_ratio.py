"""When a generated sample counts as memorised, from its distances to the two nearest training images.

Called by evaluation during a run and by the resolver afterwards, at any k. numpy only, no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

GAP_THRESHOLD = 1 / 3
"""k of the paper: a sample is memorised if d1/d2 < k."""


def memorised(d1: ArrayLike, d2: ArrayLike, k: float) -> NDArray[np.bool_]:
    """Whether each sample is memorised: gap_ratio d1/d2 < k (Bonnaire et al. 2025, arXiv:2505.17638).

    Written d1 < k·d2, and d2 = 0 counts as memorised: an exact copy of an image that occurs twice in the
    training set.

    Args:
        d1: distances to the nearest training image, at least 0, any shape.
        d2: distances to the second nearest, d2 ≥ d1, same shape.
        k: threshold of the gap ratio, 0 < k ≤ 1; 1/3 in the paper.

    Returns:
        One truth value per sample.
    """
    d1, d2 = np.asarray(d1, np.float64), np.asarray(d2, np.float64)
    flags: NDArray[np.bool_] = (d1 < k * d2) | (d2 == 0)
    return flags


def f_mem(d1: ArrayLike, d2: ArrayLike, k: float = 1 / 3) -> float:
    """The fraction of samples that are memorised (see `memorised`), 0 … 1.

    Raises:
        ValueError: there are no samples.
    """
    flags = memorised(d1, d2, k)
    if not flags.size:
        raise ValueError("f_mem is undefined without samples")
    return float(flags.mean())
