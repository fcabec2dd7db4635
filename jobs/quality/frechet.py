"""The Fréchet distance between two sets of features, each described by a Gaussian.

Called by the quality measures with features of any origin. Knows neither images nor networks. In float64
throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tausweep.jobs.arrays import Floats
from tausweep.storage.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Mean and covariance of features, the covariance S by a factor F with S = FᵀF.

    The factor is taken from the centred features themselves, not from S: forming S would square its
    condition.

    Attributes:
        mean: (d,).
        factor: (min(N, d), d), in units of the features.
    """

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Self:
        """The sample mean and the unbiased sample covariance of features (N, d); N may be below d.

        Raises:
            ValueError: fewer than two rows.
            RunError: a feature is not finite.
        """
        rows = finite_rows(features)
        count, dims = rows.shape
        if count < 2:
            raise ValueError(f"{count} rows of features; a covariance needs at least 2")
        mean = rows.mean(0)
        rows -= mean
        rows /= np.sqrt(count - 1)
        if count > dims:
            (rows,) = scipy.linalg.qr(rows, mode="r", overwrite_a=True, check_finite=False)
        return cls(mean=mean, factor=rows[:dims])


def distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Fréchet distance of two Gaussians.

    |μ_a − μ_b|² + tr(S_a + S_b − 2 (S_a S_b)^½) (Dowson & Landau 1982, J. Multivariate Anal. 12, eq. 4; with
    Inception features FID, Heusel et al. 2017, arXiv:1706.08500, eq. 6). With S = FᵀF the eigenvalues of S_a
    S_b are the squared singular values of F_a F_bᵀ, so the last trace is the sum of these. No root of an
    inaccurate number is taken, and singular covariances are allowed.

    Returns:
        At least 0, in squared units of the features; 0 for equal Gaussians, up to rounding.
    """
    overlap = scipy.linalg.svdvals(a.factor @ b.factor.T).sum()
    spread = np.sum(a.factor**2) + np.sum(b.factor**2)
    return max(float(np.sum((a.mean - b.mean) ** 2) + spread - 2 * overlap), 0.0)  # below 0 by rounding only


def finite_rows(images: NDArray[np.floating]) -> Floats:
    """A copy of images or features as rows (N, …) → (N, d) float64.

    Raises:
        RunError: one is not finite.
    """
    rows = np.array(images, np.float64).reshape(len(images), -1)
    broken = len(rows) - int(np.isfinite(rows).all(1).sum())
    if broken:
        raise RunError(f"{broken} of {len(rows)} images are not finite; the training has diverged, lower lr")
    return rows
