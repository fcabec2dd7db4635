"""The held-out images that generated ones are compared with, as Gaussians of their features.

Called by the measures of quality. An extractor takes long over thousands of images and always finds the same,
so what it found is kept; where, is known to the `StatisticsStore` alone.
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
        """What was kept under a key, None if nothing was."""

    def save(self, key: str, found: Gaussian) -> None:
        """Keep it; another process may do the same at the same time."""


class KeepNothing:
    """The store of a run that has none."""

    def load(self, key: str) -> Gaussian | None:  # noqa: ARG002 - of the protocol
        """Nothing."""
        return None

    def save(self, key: str, found: Gaussian) -> None:
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
        images: the set, (N, C, H, W); its pixels enter, so that neither a name nor an order of sets can
            mislead.
        extractor: its name and the digest of its weights enter.
    """
    key = hashlib.sha256(f"{extractor.name} {extractor.digest} {images.shape}\n".encode())
    key.update(np.ascontiguousarray(images).tobytes())
    return key.hexdigest()[:_HEX_DIGITS]


def reference_statistics(
    images: Bytes, extractor: Extractor, store: StatisticsStore, device: torch.device, ranks: Ranks
) -> Gaussian:
    """The Gaussian of a set of images: what the store has, or else what the ranks find now, kept for the next run.

    Args:
        images: (N, C, H, W).
        extractor: makes the features.
        store: where it may be; rank 0's decides.
        device: where to compute.
        ranks: each extracts its share.
    """
    key = statistics_key(images, extractor)
    known = store.load(key) if ranks.rank == 0 else None
    kept = {} if known is None else {name: torch.from_numpy(array) for name, array in vars(known).items()}
    kept = ranks.broadcast(kept)
    if kept:
        return Gaussian(**{name: array.cpu().numpy() for name, array in kept.items()})
    found = Gaussian.of(extract(images, extractor, device, ranks))
    if ranks.rank == 0:
        store.save(key, found)
    return found


def extract(images: Bytes, extractor: Extractor, device: torch.device, ranks: Ranks) -> NDArray[np.float32]:
    """Features of images (N, C, H, W), (N, d): each rank extracts its share, and has all in the end."""
    # A rank without a share extracts one image all the same: it tells the number of features.
    mine = ranks.share(len(images))
    found = extractor(images[mine] if mine.stop > mine.start else images[:1], device)
    return ranks.gather(found[: mine.stop - mine.start], len(images)).numpy()
