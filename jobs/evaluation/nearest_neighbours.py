"""Distances of generated samples to their two nearest training images, exact and in bounded memory.

Called at every evaluation. Knows neither model nor data set; `jobs.evaluation.gap_ratio` interprets the
distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tausweep.storage.errors import DataError, RunError

_CANDIDATES = 4
_CHUNK_ELEMENTS = 2**21  # 16 MiB of float64


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The two nearest training images of each sample.

    Attributes:
        d1: Euclidean distance to the nearest, (M,) float64, in pixel units of the images given.
        d2: to the second nearest, (M,) float64, d2 ≥ d1.
        nn1: index of the nearest in the training set, (M,) int64.
        nn2: index of the second nearest, (M,) int64; of equally near images the lower index comes first.
    """

    d1: NDArray[np.float64]
    d2: NDArray[np.float64]
    nn1: NDArray[np.int64]
    nn2: NDArray[np.int64]


def nearest_two(samples: Tensor, train: Tensor, *, chunk: int | None = None) -> Neighbours:
    """Find the two nearest training images of each sample (the d1, d2 of f_mem, arXiv:2505.17638).

    ‖s‖² + ‖x‖² − 2 s·x is one matrix product but cancels, so it only picks candidates; their distances are
    then taken from differences. A sample whose candidates are not provably nearer than the rest, by the
    rounding bound of the product, is compared with every training image.

    Args:
        samples: generated images, (M, …), taken as float32.
        train: training images, (n, …) of the same size and device.
        chunk: rows of samples and of train at a time; memory grows with it, the answer does not change.

    Raises:
        DataError: fewer than two training images.
        RunError: a sample is not finite.
    """
    samples, train = samples.flatten(1).float(), train.flatten(1).float()
    if len(train) < 2:
        raise DataError(f"n = {len(train)}: the gap ratio d1/d2 needs at least 2 training images")
    broken = int((~samples.isfinite()).any(1).sum())
    if broken:
        raise RunError(
            f"{broken} of {len(samples)} generated samples are not finite; the training has diverged, lower lr"
        )
    chunk = chunk or max(1, min(1024, _CHUNK_ELEMENTS // samples.shape[1]))
    squared, indices, floor = _candidates(samples, train, chunk)
    for row in torch.nonzero(squared[:, 1] >= floor).flatten().tolist():
        squared[row], indices[row] = _compare_with_all(samples[row], train, chunk)
    distances, nearest = squared.sqrt().cpu().numpy(), indices.cpu().numpy()
    return Neighbours(d1=distances[:, 0], d2=distances[:, 1], nn1=nearest[:, 0], nn2=nearest[:, 1])


def _candidates(samples: Tensor, train: Tensor, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best two of a few candidates, and a lower bound of the squared distances of all others."""
    keep = min(_CANDIDATES, len(train))
    norms = torch.cat([block.double().square().sum(1) for block in torch.split(train, chunk)])
    squared, indices, floors = [], [], []
    for block in torch.split(samples, chunk):
        rows = block.double()  # (m, d)
        scores, places = _top(rows, train, norms, keep, chunk)
        exact, places = _rank(_squared_distances(rows, train, places), places)
        # |error| ≤ γ (‖s‖ + ‖x‖)², γ = (d + 2) u (Higham 2002, section 3.1); twice that and more for safety.
        bound = (
            4 * (rows.shape[1] + 4) * torch.finfo(torch.float64).eps * (rows.square().sum(1) + norms.max())
        )
        floors.append(scores[:, -1] - bound if keep < len(train) else torch.full_like(bound, torch.inf))
        squared.append(exact[:, :2])
        indices.append(places[:, :2])
    return torch.cat(squared), torch.cat(indices), torch.cat(floors)


def _top(rows: Tensor, train: Tensor, norms: Tensor, keep: int, chunk: int) -> tuple[Tensor, Tensor]:
    """The `keep` lowest ‖s‖² + ‖x‖² − 2 s·x and their indices, ascending, (m, keep) each."""
    scores = rows.new_empty((len(rows), 0))
    indices = torch.empty((len(rows), 0), dtype=torch.int64, device=rows.device)
    own = rows.square().sum(1, keepdim=True)
    for start in range(0, len(train), chunk):
        block = train[start : start + chunk].double()
        block_scores = torch.addmm(norms[start : start + chunk], rows, block.T, alpha=-2)  # (m, chunk)
        best, where = block_scores.topk(min(keep, len(block)), largest=False)
        scores, indices = torch.cat([scores, best], 1), torch.cat([indices, where + start], 1)
        scores, order = scores.topk(min(keep, scores.shape[1]), largest=False)
        indices = indices.gather(1, order)
    return scores + own, indices


def _squared_distances(rows: Tensor, train: Tensor, indices: Tensor) -> Tensor:
    """Squared distances of each row to its candidates, from differences in float64, (m, keep)."""
    return torch.stack([(train[column] - rows).square().sum(1) for column in indices.T], dim=1)


def _rank(squared: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Order candidates by distance; of equal ones the lower index first."""
    indices, order = indices.sort(dim=1)
    squared, by_distance = squared.gather(1, order).sort(dim=1, stable=True)
    return squared, indices.gather(1, by_distance)


def _compare_with_all(sample: Tensor, train: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    row = sample.double()
    squared = torch.cat([(block - row).square().sum(1) for block in torch.split(train, chunk)])
    squared, order = squared.sort(stable=True)
    return squared[:2], order[:2]
