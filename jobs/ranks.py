"""The processes (ranks) that train one run together, as the training loop and the evaluation see them.

`Ranks` itself is one process alone, for which everything here does nothing; `workers.ranks.process_group` has
the form for several. Their number, origin and communication are not known here.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

T = TypeVar("T")


class Ranks:
    """One process that trains alone, and the interface for several.

    Every method but `share` and `rows` is called by all ranks, in the same order.

    Attributes:
        rank: number of this process, from 0; rank 0 leads.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int, rank: int | None = None) -> slice:
        """A rank's part (default: this rank's) of `count` items, in the order of ranks; may be empty."""
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def rows(self, batch: int) -> slice:
        """Rows of a batch that this rank computes: its share, padded to two rows without weight in `mean`.

        This lets a rank without a share take part. Besides, torch gives a batch of one a different memory
        layout, with which dropout masks would differ from those of the whole batch.
        """
        share, least = self.share(batch), min(2, batch)
        if share.stop - share.start >= least:
            return share
        start = min(share.start, batch - least)
        return slice(start, start + least)

    def wrap(self, network: nn.Module, batch: int) -> nn.Module:  # noqa: ARG002 - of several
        """The network to call in a training step: its gradients are averaged over ranks."""
        return network

    def mean(self, losses: Tensor, batch: int) -> Tensor:  # noqa: ARG002 - of several
        """A number from the losses of `rows`, (rows,), whose average over ranks is the batch mean."""
        return losses.mean()

    def average(self, values: Tensor) -> Tensor:
        """Average over ranks, element by element."""
        return values

    def gather(self, share: Tensor, count: int) -> Tensor:  # noqa: ARG002 - of several
        """From every rank's `share` of `count` rows, all of them in order, (count, …), on every rank."""
        return share

    def broadcast(self, value: T) -> T:
        """Rank 0's value on every rank: tensors, numbers, strings and containers of them."""
        return value

    def agree(self, first: bool, second: bool) -> tuple[bool, bool]:
        """Rank 0's two flags on every rank; cheap enough for every step."""
        return first, second


class BatchDropout(nn.Module):
    """Dropout with the mask of the whole batch, of which a rank uses its rows.

    It draws as many random numbers as one process that trains alone, so masks do not depend on the number of
    ranks.
    """

    def __init__(self, p: float, rows: slice, batch: int) -> None:
        super().__init__()
        self.p, self.rows, self.batch = p, rows, batch

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of x, the rows of a batch, (rows, …)."""
        if not self.training:
            return x
        ones = x.new_ones((self.batch, *x.shape[1:]))
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            ones = ones.contiguous(
                memory_format=torch.channels_last
            )  # masks are drawn in the order of memory
        return x * functional.dropout(ones, self.p)[self.rows]


def share_dropout(network: nn.Module, rows: slice, batch: int) -> None:
    """Replace each Dropout in a network by a `BatchDropout`."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout) and child.p > 0:
                setattr(module, name, BatchDropout(child.p, rows, batch))
