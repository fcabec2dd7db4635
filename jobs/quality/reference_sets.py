"""The held-out images for comparison with generated ones, as mean and covariance of their features.

Called by the measures of quality. Extracting features of thousands of images takes long and always gives the
same result, so the `StatisticsStore` keeps it.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tausweep.jobs.arrays import Bytes
from tausweep.jobs.quality.extractors import Extractor
from tausweep.jobs.quality.frechet import Gaussian
from tausweep.jobs.ranks import Ranks

_HEX_DIGITS = 32


class StatisticsStore(Protocol):
    """Keeps Gaussians between runs."""

    def load(self, key: str) -> Gaussian | None:
        """The statistics under a key, None if there are none."""

    def save(self, key: str, gaussian: Gaussian) -> None:
        """Store the statistics; another process may do the same at the same time."""


class KeepNothing:
    """A store that keeps nothing."""

    def load(self, key: str) -> Gaussian | None:  # noqa: ARG002 - of the protocol
        """Nothing."""
        return None

    def save(self, key: str, gaussian: Gaussian) -> None:
        """Forget it."""


def reference_sets(held_out: Bytes, count: int) -> list[Bytes]:
    """Disjoint sets of equal size from the held-out images, which no run trains on.

    Args:
        held_out: (test_images, C, H, W).
        count: how many sets; the last test_images mod count images are left out.
    """
    size = len(held_out) // count
    return [held_out[i * size : (i + 1) * size] for i in range(count)]


def statistics_key(images: Bytes, extractor: Extractor) -> str:
    """A key from everything that the Gaussian of a set depends on.

    Args:
        images: the set, (N, C, H, W); the key depends on its pixels, not on names or the order of sets.
        extractor: the key depends on its name and the digest of its weights.
    """
    key = hashlib.sha256(f"{extractor.name} {extractor.digest} {images.shape}\n".encode())
    key.update(np.ascontiguousarray(images).tobytes())
    return key.hexdigest()[:_HEX_DIGITS]


def reference_statistics(
    images: Bytes, extractor: Extractor, store: StatisticsStore, device: torch.device, ranks: Ranks
) -> Gaussian:
    """The Gaussian of a set of images: from the store, or computed by the ranks and stored.

    Args:
        images: (N, C, H, W).
        extractor: the feature extractor.
        store: the store of statistics; that of rank 0 decides.
        device: where to compute.
        ranks: the ranks, each of which extracts its share.
    """
    key = statistics_key(images, extractor)
    known = store.load(key) if ranks.rank == 0 else None
    kept = {} if known is None else {name: torch.from_numpy(array) for name, array in vars(known).items()}
    kept = ranks.broadcast(kept)
    if kept:
        return Gaussian(**{name: array.cpu().numpy() for name, array in kept.items()})
    gaussian = Gaussian.of(extract(images, extractor, device, ranks))
    if ranks.rank == 0:
        store.save(key, gaussian)
    return gaussian


def extract(images: Bytes, extractor: Extractor, device: torch.device, ranks: Ranks) -> NDArray[np.float32]:
    """Features of images (N, C, H, W), (N, d): each rank extracts its share, and finally has all."""
    # A rank without a share still extracts one image, to know the number of features.
    mine = ranks.share(len(images))
    features = extractor(images[mine] if mine.stop > mine.start else images[:1], device)
    return ranks.gather(features[: mine.stop - mine.start], len(images)).numpy()
