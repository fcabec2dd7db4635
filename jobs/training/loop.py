"""The training loop: a run as a deterministic function of its spec.

It advances a trainee of any kind from evaluation to evaluation, and knows its surroundings only as a
`RunContext`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from tausweep.jobs.arrays import Labels
from tausweep.jobs.data.load import load
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation.evaluator import Evaluator
from tausweep.jobs.evaluation.measurement import Measurement
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.model import RandomFeatures
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.losses import Losses
from tausweep.jobs.training.score_trainee import score_trainee
from tausweep.jobs.training.trainee import Trainee, stepped_trainee
from tausweep.storage.layout import TableName

if TYPE_CHECKING:
    from tausweep.jobs.quality.feature_distance import FeatureInputs

Columns = Mapping[str, Sequence[object] | np.ndarray]


class RunContext(Protocol):
    """What the training loop needs from its surroundings."""

    def restore(self) -> dict[str, Any] | None:
        """State of the newest good checkpoint, None to start from scratch."""

    def save(self, tau: int, state: dict[str, Any]) -> None:
        """Save a checkpoint of the state after `tau` updates."""

    def checkpoint_due(self) -> bool:
        """Whether a checkpoint is due."""

    def publish(self, table: TableName, columns: Columns) -> None:
        """Append rows to a table of the store, durably."""

    def progress(self, tau: int) -> None:
        """Report the progress of the run."""

    def should_stop(self) -> bool:
        """Whether to stop after this step, with a checkpoint."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How far a run got: `finished` is False if it was asked to stop."""

    tau: int
    finished: bool


def _prepare(
    spec: RunSpec,
    images: np.ndarray | None,
    labels: Labels | None,
    device: torch.device,
    ranks: Ranks,
    features: FeatureInputs | None,
) -> tuple[Trainee, Callable[[nn.Module], Measurement]]:
    split = load(spec.data, images, labels)
    if isinstance(spec.model, RandomFeatures):
        return score_trainee(spec, split)
    objective = build_objective(spec.objective, device)
    trainee = stepped_trainee(spec, split, objective, device, ranks)
    return trainee, Evaluator(spec, split, objective, device, ranks, features).measure


def train(
    spec: RunSpec,
    images: np.ndarray | None,
    context: RunContext,
    device: torch.device,
    ranks: Ranks | None = None,
    *,
    labels: Labels | None = None,
    features: FeatureInputs | None = None,
) -> Outcome:
    """Train and evaluate a run, from its newest checkpoint if there is one.

    Args:
        spec: the run.
        images: the whole prepared data set, uint8 (N, C, H, W), may be memory-mapped; None for synthetic
            data.
        context: where rows and checkpoints go, and where stop requests come from.
        device: where to compute.
        ranks: the processes that train the run together, each of which calls this; None for this one alone.
            Only rank 0 decides when to stop or to checkpoint, and only its context stores data.
        labels: class of each image, (N,) int64, of image sets with classes.
        features: the inputs of the extractor, for runs with one.

    Raises:
        NotFiniteError: the loss is not finite; rows published before are from finite losses.
        DataError: fewer images than the spec needs.
    """
    ranks = ranks or Ranks()
    trainee, measure = _prepare(spec, images, labels, device, ranks, features)
    state = ranks.broadcast(context.restore())
    tau = trainee.load(state) if state is not None else 0
    losses = Losses(ranks)
    trainee.model.train()
    while tau < spec.training.steps:
        until = spec.taus[bisect_right(spec.taus, tau)]
        tau, loss = trainee.advance(tau, until)
        if loss is not None:
            losses.append(tau, loss)
        if tau == until:
            losses.check(tau)
            _publish(context, spec, tau, measure(trainee.model))
        context.progress(tau)
        stop, due = ranks.agree(context.should_stop(), context.checkpoint_due())
        stop = stop and tau < spec.training.steps
        if stop or due or tau == spec.training.steps:
            losses.check(tau)
            context.save(tau, trainee.state(tau))
        if stop:
            return Outcome(tau=tau, finished=False)
    return Outcome(tau=tau, finished=True)


def _publish(context: RunContext, spec: RunSpec, tau: int, measured: Measurement) -> None:
    """Publish an evaluation. Metrics go last, so an evaluation with metrics is complete."""
    near = measured.neighbours
    if near is not None:
        count = len(near.d1)
        context.publish(
            "neighbours",
            {
                "tau": np.full(count, tau),
                "sample": np.arange(count, dtype=np.int32),
                "d1": near.d1,
                "d2": near.d2,
                "nn1": near.nn1.astype(np.int32),
                "nn2": near.nn2.astype(np.int32),
            },
        )
    gallery = measured.gallery
    if gallery is not None and len(gallery):
        context.publish(
            "samples",
            {
                "tau": [tau] * len(gallery),
                "sample": list(range(len(gallery))),
                "shape": [list(gallery.shape[1:])] * len(gallery),
                "image": [image.ravel() for image in gallery],
            },
        )
    rows = measured.metrics
    context.publish(
        "metrics",
        {
            "tau": [tau] * len(rows),
            "images_seen": [tau * spec.batch_size] * len(rows),
            "t": [None if t is None else float(t) for _, t, _ in rows],
            "metric": [metric for metric, _, _ in rows],
            "value": [value for _, _, value in rows],
            "wall_time": [context.now()] * len(rows),
        },
    )
