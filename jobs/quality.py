"""How good generated samples are. Of images: the Fréchet distance in a fixed linear feature space, `frechet_pca`.

Called at every evaluation. The features are principal components of pixels, not of an Inception network, so the
values are no FID and are compared only between runs on the same data. Knows no model; numpy and scipy, no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from jobs.data_kinds import GaussianMixture
from jobs.spec import RunSpec
from jobs.split import Split
from storage.errors import DataError, RunError

Floats = NDArray[np.float64]

Quality = Callable[[NDArray[np.float32]], dict[str, float]]
"""Samples (M, C, H, W) or (M, d) → metrics by name; what could not be measured is not among them."""


def build_qualities(spec: RunSpec, split: Split) -> list[Quality]:
    """The measures of quality that a run's samples can have."""
    if split.pool is not None:
        return [_frechet_pca(split.pool, split.test, spec.evaluation.frechet_dims)]
    if isinstance(spec.data, GaussianMixture):
        return [_frechet_population(spec.data)]
    return []


def _frechet_population(data: GaussianMixture) -> Quality:
    """The distance to the exact mean 0 and covariance variance·I + mu²·1 of the mixture; it sees no other moments."""
    mean, covariance = np.zeros(data.d), data.variance * np.eye(data.d) + data.mu**2
    return lambda samples: {"frechet_population": gaussian_distance(*_moments(samples), mean, covariance)}


def _frechet_pca(pool: NDArray[np.float32], test: NDArray[np.float32], dims: int) -> Quality:
    pca = PixelPCA.fit(pool, dims)
    reference = pca.transform(test)
    return lambda samples: {"frechet_pca": frechet_distance(pca.transform(samples), reference)}


@dataclass(frozen=True, kw_only=True)
class PixelPCA:
    """The leading principal components of a set of images.

    Attributes:
        mean: mean image, (d,) float64, d = C·H·W.
        components: orthonormal rows by falling variance, (dims, d) float64; the largest entry of each is positive.
        scale: root of the variance that the components hold together; features are in units of it.
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
            DataError: the images are all the same.
            RunError: an image is not finite.
        """
        rows = _finite_rows(images)
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
            raise DataError(
                f"the {count} images are all the same; principal components need images that differ"
            )
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
        features: Floats = (_finite_rows(images) - self.mean) @ self.components.T / self.scale
        return features


def frechet_distance(features_a: Floats, features_b: Floats) -> float:
    """Squared Fréchet distance between the Gaussians with the features' means and covariances.

    |μ_a − μ_b|² + tr(S_a + S_b − 2 (S_a S_b)^½) (Dowson & Landau 1982, J. Multivariate Anal. 12, eq. 4). The
    eigenvalues of S_a S_b are those of S_a^½ S_b S_a^½, so the last trace is the sum of the singular values of
    S_a^½ S_b^½.

    Args:
        features_a: (N, dims).
        features_b: (M, dims).

    Returns:
        At least 0, in squared units of the features; 0 for equal means and covariances, up to rounding.

    Raises:
        ValueError: fewer than dims + 1 rows, so that a covariance is singular.
        RunError: a feature is not finite.
    """
    return gaussian_distance(*_moments(features_a), *_moments(features_b))


def gaussian_distance(mean_a: Floats, covariance_a: Floats, mean_b: Floats, covariance_b: Floats) -> float:
    """The squared Fréchet distance of `frechet_distance` from means (dims,) and covariances (dims, dims)."""
    overlap = scipy.linalg.svdvals(_root(covariance_a) @ _root(covariance_b)).sum()
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap
    return max(float(distance), 0.0)  # below 0 by rounding only


def _finite_rows(images: NDArray[np.floating]) -> Floats:
    rows = np.array(images, np.float64).reshape(len(images), -1)
    broken = len(rows) - int(np.isfinite(rows).all(1).sum())
    if broken:
        raise RunError(f"{broken} of {len(rows)} images are not finite; the training has diverged, lower lr")
    return rows


def _moments(features: NDArray[np.floating]) -> tuple[Floats, Floats]:
    rows = _finite_rows(features)
    count, dims = rows.shape
    if count < dims + 1:
        raise ValueError(
            f"{count} rows of {dims} features; a covariance of full rank needs at least {dims + 1}"
        )
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


def _root(covariance: Floats) -> Floats:
    """Symmetric square root of a covariance; eigenvalues below 0 are rounding."""
    values, vectors = scipy.linalg.eigh(covariance)
    root: Floats = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root
