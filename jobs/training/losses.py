"""The training losses of the last steps, read only now and then, since reading waits for device and ranks.

Called by the training loop.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tausweep.jobs.ranks import Ranks
from tausweep.storage.errors import NotFiniteError

_CHECK_EVERY = 25  # steps
_LOSSES_SHOWN = 8


class Losses:
    """Keeps the last losses on the device and reads them from time to time, averaged over ranks."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._unseen: list[Tensor] = []
        self._recent: list[float] = []

    def append(self, tau: int, loss: Tensor) -> None:
        """Add the loss of step tau, this rank's part of it; raises as `check` does."""
        self._unseen.append(loss.detach())
        if len(self._unseen) >= _CHECK_EVERY:
            self.check(tau)

    def check(self, tau: int) -> None:
        """Raise NotFiniteError, with the step, if a loss since the last check is not finite."""
        if not self._unseen:
            return
        values = self._ranks.average(torch.stack(self._unseen)).tolist()
        first = tau - len(values) + 1
        self._unseen = []
        for step, value in enumerate(values, start=first):
            if not math.isfinite(value):
                before = ", ".join(f"{v:.4g}" for v in self._recent[-_LOSSES_SHOWN:]) or "none"
                raise NotFiniteError(
                    f"the training loss is {value} at step {step}; the losses before: {before}. "
                    "Lower lr, lengthen warmup or set clip"
                )
            self._recent.append(value)
        del self._recent[:-_LOSSES_SHOWN]
