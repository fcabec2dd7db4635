"""The training and test samples of a run, as arrays for the network.

Made by `jobs.data.load` from images or from seeds; read by training and evaluation. numpy, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tausweep.jobs.arrays import Floats, Floats32, Labels

Color = Literal["grey", "rgb"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training and test samples: images (C, H, W), centred and scaled, or vectors (d,).

    Attributes:
        train: (n, C, H, W) or (n, d) float32.
        test: (test samples, C, H, W) or (test samples, d) float32.
        mean: per-channel mean of the training images in 0…1 that was subtracted, (C,) float64; None for
            vectors.
        pixel_scale: the factor applied after the subtraction.
        pool: samples that no run holds out, for fitting feature spaces, (pool, C, H, W); None for vectors,
            which need none.
        train_labels: class of each training sample, (n,) int64, or None where there are no classes.
        test_labels: the same for the test samples.
    """

    train: Floats32
    test: Floats32
    mean: Floats | None = None
    pixel_scale: float = 1.0
    pool: Floats32 | None = None
    train_labels: Labels | None = None
    test_labels: Labels | None = None
