"""Seeds of all random numbers.

A seed derives from (run seed, purpose, index) and nothing else. So batches, noise and samples depend neither
on earlier draws nor on how work is split, and a resumed run draws the same numbers as an undisturbed one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal[
    "init",
    "order",
    "noise",
    "dropout",
    "train_loss",
    "test_loss",
    "sample",
    "label_dropout",
    "train_set",
    "test_set",
]

# Every stream depends on these numbers: never renumber, only add.
_CODES: dict[Purpose, int] = {
    "init": 1,
    "order": 2,
    "noise": 3,
    "dropout": 4,
    "train_loss": 5,
    "test_loss": 6,
    "sample": 7,
    "label_dropout": 8,
    "train_set": 9,
    "test_set": 10,
}


def derive(seed: int, purpose: Purpose, index: int = 0) -> int:
    """A seed for one stream of random numbers.

    Args:
        seed: the run's seed, at least 0.
        purpose: what the numbers are for.
        index: which one of that purpose: a step, an epoch, a sample; at least 0.

    Returns:
        A number in [0, 2^63), for `torch.Generator.manual_seed` and numpy alike.
    """
    state = np.random.SeedSequence([seed, _CODES[purpose], index]).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))
