"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

One network learns with and without labels: training replaces a fraction of the labels by the null class, and
sampling extrapolates between the two predictions. A `Guided` model is called like any other, so samplers know
nothing about labels. Called by training and evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tausweep.jobs.seeds import derive

ConditionalModel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""x_t (N, …), times (N,) and labels (N,) int64 → prediction (N, …); the highest label is the null class."""


def guide(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """The guided prediction: unconditional + w·(conditional − unconditional).

    w = 0 ignores the label, w = 1 is the conditional model as it was trained, w > 1 goes beyond it. This is
    eq. 6 of Ho & Salimans, (1 + w')·conditional − w'·unconditional, with w = 1 + w'. It holds for ε, v and
    velocities alike: each is linear in the score with the same coefficients for both predictions.

    Args:
        conditional: prediction with the label, (N, …).
        unconditional: prediction with the null class, same shape.
        weight: w, at least 0.

    Returns:
        The guided prediction, same shape.
    """
    return unconditional + weight * (conditional - unconditional)


@dataclass(frozen=True)
class Guided:
    """A conditional model as a `model(x, t)` for samplers, guided towards one label per row.

    Attributes:
        model: called as `model(x, t, labels)`.
        labels: class of each row, (N,) int64.
        null: label of the null class.
        weight: w of `guide`; at 0 and 1 only the one prediction that is needed is computed.
    """

    model: ConditionalModel
    labels: Tensor
    null: int
    weight: float

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Guided prediction from x (N, …) and times (N,); as many rows as there are labels."""
        if self.weight == 1:
            return self.model(x, t, self.labels)
        none = torch.full_like(self.labels, self.null)
        if self.weight == 0:
            return self.model(x, t, none)
        both = self.model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([self.labels, none]))
        conditional, unconditional = both.chunk(2)
        return guide(conditional, unconditional, self.weight)


def drop_labels(labels: Tensor, rate: float, null: int, seed: int, tau: int) -> Tensor:
    """Labels of a training batch, each replaced by the null class with a probability (algorithm 1, line 3).

    Args:
        labels: class of each row of the whole batch, (N,) int64.
        rate: probability that a label is dropped, 0…1.
        null: label of the null class.
        seed: the run's seed; which rows are dropped follows from it and tau alone.
        tau: step.

    Returns:
        (N,) int64.
    """
    generator = torch.Generator().manual_seed(derive(seed, "label_dropout", tau))
    dropped = torch.rand(len(labels), generator=generator) < rate
    return torch.where(dropped.to(labels.device), null, labels)


def classes_of_samples(count: int, present: Tensor) -> Tensor:
    """Classes of generated samples, spread evenly: sample i gets the (i mod K)-th of K classes.

    They do not follow the proportions of the training set, so f_mem of a rare class is measured on as many
    samples as that of a common one.

    Args:
        count: samples.
        present: classes that have training images, ascending, (K,) int64.

    Returns:
        (count,) int64.
    """
    return present[torch.arange(count, device=present.device) % len(present)]
