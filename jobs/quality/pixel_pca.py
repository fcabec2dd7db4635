"""The Fréchet distance of images in a fixed linear feature space, `frechet_pca`.

Called at every evaluation. The features are principal components of pixels, not of an Inception network, so
the values are not an FID and can be compared only between runs on the same data. Knows no model; numpy and
scipy, no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tausweep.jobs.arrays import Floats
from tausweep.jobs.data.split import Split
from tausweep.jobs.quality.frechet import Gaussian, distance, finite_rows
from tausweep.jobs.spec.metrics import FRECHET_PCA
from tausweep.storage.errors import DataError

Quality = Callable[[NDArray[np.float32]], dict[str, float]]
"""Samples (M, C, H, W) or (M, d) → metrics by name; what could not be measured is not among them."""


def pixel_quality(split: Split, dims: int) -> Quality:
    """`frechet_pca` to the held-out images, in components of the images that no run holds out.

    Args:
        split: images, its pool not None.
        dims: how many components.
    """
    assert split.pool is not None
    pca = PixelPCA.fit(split.pool, dims)
    reference = pca.transform(split.test)
    return lambda samples: {FRECHET_PCA: frechet_distance(pca.transform(samples), reference)}


@dataclass(frozen=True, kw_only=True)
class PixelPCA:
    """The leading principal components of a set of images.

    Attributes:
        mean: mean image, (d,) float64, d = C·H·W.
        components: orthonormal rows by falling variance, (dims, d) float64; the largest entry of each is
            positive.
        scale: root of the total variance of the components; features are in units of it.
    """

    mean: Floats
    components: Floats
    scale: float

    @classmethod
    def fit(cls, images: NDArray[np.floating], dims: int) -> Self:
        """Find the components; the same images give the same components.

        Args:
            images: (N, C, H, W), finite.
            dims: how many components, below N and at most d.

        Raises:
            ValueError: too few images or pixels for dims.
            DataError: the images are all equal.
            RunError: an image is not finite.
        """
        rows = finite_rows(images)
        count, pixels = rows.shape
        if not 1 <= dims <= min(count - 1, pixels):
            raise ValueError(
                f"dims = {dims}: between 1 and {min(count - 1, pixels)} for {count} images of {pixels}"
            )
        mean = rows.mean(0)
        rows -= mean
        wide = pixels > count  # the smaller of the two Gram matrices has the same leading eigenvalues
        gram = rows @ rows.T if wide else rows.T @ rows
        values, vectors = scipy.linalg.eigh(gram, subset_by_index=(len(gram) - dims, len(gram) - 1))
        scale = float(np.sqrt(values.clip(0).sum() / (count - 1)))
        if scale == 0:
            raise DataError(f"the {count} images are all equal; principal components need images that differ")
        leading = vectors[:, ::-1].T @ rows if wide else vectors[:, ::-1].T
        components = leading / np.linalg.norm(leading, axis=1, keepdims=True)
        largest = np.abs(components).argmax(1)
        components *= np.sign(components[np.arange(dims), largest])[:, None]
        return cls(mean=mean, components=components, scale=scale)

    def transform(self, images: NDArray[np.floating]) -> Floats:
        """Features of images (M, C, H, W): coordinates along the components, (M, dims) float64.

        Raises:
            RunError: an image is not finite.
        """
        features: Floats = (finite_rows(images) - self.mean) @ self.components.T / self.scale
        return features


def frechet_distance(features_a: Floats, features_b: Floats) -> float:
    """Squared Fréchet distance of the features' means and covariances (see `jobs.quality.frechet`).

    Args:
        features_a: (N, dims).
        features_b: (M, dims).

    Returns:
        At least 0, in squared units of the features; 0 for equal means and covariances, up to rounding.

    Raises:
        ValueError: fewer than dims + 1 rows, so that a covariance is singular.
        RunError: a feature is not finite.
    """
    for count, dims in (features_a.shape, features_b.shape):
        if count < dims + 1:
            raise ValueError(
                f"{count} rows of {dims} features; a covariance of full rank needs at least {dims + 1}"
            )
    return distance(Gaussian.of(features_a), Gaussian.of(features_b))
