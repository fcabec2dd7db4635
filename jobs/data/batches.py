"""Which training samples a step takes: batches cut from permutations of the training set.

Called by the trainee. A batch is a function of (seed, n, batch size, tau) alone, so a resumed run takes the
same batches as an undisturbed one.
"""

from __future__ import annotations

import numpy as np

from tausweep.jobs.seeds import derive


def batch_indices(seed: int, n: int, batch: int, tau: int) -> np.ndarray:
    """Training images of step tau, int64 (batch,).

    Batches are cut one after another from an endless sequence of permutations of 0…n−1, so that every image
    is seen equally often whether or not the batch divides n.

    Args:
        seed: the run's seed.
        n: training-set size.
        batch: images per step.
        tau: step, from 1.
    """
    start = (tau - 1) * batch
    epochs = range(start // n, (start + batch - 1) // n + 1)
    order = np.concatenate([_permutation(seed, n, epoch) for epoch in epochs])
    offset = start - epochs.start * n
    return order[offset : offset + batch]


def _permutation(seed: int, n: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(derive(seed, "order", epoch))).permutation(n)


class Batches:
    """`batch_indices` for rising tau without drawing an epoch's permutation again at each step."""

    def __init__(self, seed: int, n: int, batch: int) -> None:
        self.seed, self.n, self.batch = seed, n, batch
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __call__(self, tau: int) -> np.ndarray:
        """Training samples of step tau, int64 (batch,)."""
        start = (tau - 1) * self.batch
        epoch, offset = divmod(start, self.n)
        if offset + self.batch > self.n:
            return batch_indices(self.seed, self.n, self.batch, tau)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, _permutation(self.seed, self.n, epoch)
        return self._order[offset : offset + self.batch]
