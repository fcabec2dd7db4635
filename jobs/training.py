"""The training loop: a run as a deterministic function of its spec.

Every random number of step tau is derived from (seed, tau), and batches come from a permutation an epoch, so the
state of training is the weights, the optimiser and tau: what a checkpoint holds, and all it needs to. The loop knows
its surroundings only as a `RunContext`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from jobs.ddpm import Schedule, denoising_loss
from jobs.evaluation import Evaluator, Measurement
from jobs.images import split as split_images
from jobs.images import training_pool
from jobs.losses import Losses
from jobs.optimizers import build_optimizer
from jobs.quality import PixelPCA
from jobs.ranks import Ranks
from jobs.seeds import derive
from jobs.spec import RunSpec
from jobs.unet import build_unet
from storage.layout import TableName

Columns = Mapping[str, Sequence[object] | np.ndarray]


class RunContext(Protocol):
    """What a run may ask of its surroundings."""

    def restore(self) -> dict[str, Any] | None:
        """State of the newest good checkpoint, None to start from scratch."""

    def save(self, tau: int, state: dict[str, Any]) -> None:
        """Keep a checkpoint of the state after `tau` updates."""

    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint."""

    def publish(self, table: TableName, columns: Columns) -> None:
        """Append rows to a table of the store, durably."""

    def progress(self, tau: int) -> None:
        """Tell how far the run is."""

    def should_stop(self) -> bool:
        """Whether to stop after this step, with a checkpoint."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How far a run came: `finished` is False if it was asked to stop."""

    tau: int
    finished: bool


def batch_indices(seed: int, n: int, batch: int, tau: int) -> np.ndarray:
    """Training images of step tau, int64 (batch,).

    Batches are cut one after another from an endless sequence of permutations of 0…n−1, so that every image is seen
    equally often whether or not the batch divides n.

    Args:
        seed: the run's seed.
        n: training-set size.
        batch: images a step.
        tau: step, from 1.
    """
    start = (tau - 1) * batch
    epochs = range(start // n, (start + batch - 1) // n + 1)
    order = np.concatenate([_permutation(seed, n, epoch) for epoch in epochs])
    offset = start - epochs.start * n
    return order[offset : offset + batch]


def _permutation(seed: int, n: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(derive(seed, "order", epoch))).permutation(n)


class _Batches:
    """`batch_indices` for rising tau without drawing an epoch's permutation again at each step."""

    def __init__(self, seed: int, n: int, batch: int) -> None:
        self.seed, self.n, self.batch = seed, n, batch
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __call__(self, tau: int) -> np.ndarray:
        start = (tau - 1) * self.batch
        epoch, offset = divmod(start, self.n)
        if offset + self.batch > self.n:
            return batch_indices(self.seed, self.n, self.batch, tau)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, _permutation(self.seed, self.n, epoch)
        return self._order[offset : offset + self.batch]


@dataclass(frozen=True, kw_only=True)
class _Trainee:
    """What a checkpoint holds, and how one step is done."""

    spec: RunSpec
    ranks: Ranks
    model: nn.Module
    network: nn.Module  # the model as a step calls it: with gradients averaged over ranks
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    images: Tensor  # (n, C, H, W), float32, on the device
    batches: Callable[[int], np.ndarray]
    generator: torch.Generator

    def state(self, tau: int) -> dict[str, Any]:
        return {"tau": tau, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> int:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["tau"])

    def step(self, tau: int) -> Tensor:
        """One optimiser update; returns this rank's part of the batch's mean loss, not yet looked at."""
        spec, device = self.spec, self.images.device
        index = torch.from_numpy(self.batches(tau)).to(device)
        x0 = self.images[index]  # (batch, C, H, W)
        self.generator.manual_seed(derive(spec.seed, "noise", tau))
        t = torch.randint(spec.objective.timesteps, (len(x0),), generator=self.generator, device=device)
        noise = torch.randn(x0.shape, generator=self.generator, device=device)
        if spec.model.dropout:  # the one consumer of torch's global generator
            torch.manual_seed(derive(spec.seed, "dropout", tau))
        if tau <= spec.training.warmup:
            _set_lr(self.optimizer, spec.optimizer.lr * tau / spec.training.warmup)
        rows = self.ranks.rows(len(x0))
        losses = denoising_loss(
            self.network, self.schedule, x0[rows], noise[rows], t[rows], spec.objective.prediction
        )
        loss = self.ranks.mean(losses, len(x0))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if spec.training.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), spec.training.clip)
        self.optimizer.step()
        return loss


def _set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def _prepare(
    spec: RunSpec, images: np.ndarray, device: torch.device, ranks: Ranks
) -> tuple[_Trainee, Evaluator]:
    split = split_images(images, spec.data)
    pool = training_pool(images, spec.data, split.mean)
    pca = PixelPCA.fit(pool, spec.evaluation.frechet_dims)
    schedule = Schedule.linear(spec.objective).to(device)
    torch.manual_seed(derive(spec.seed, "init"))
    model = build_unet(spec.model, spec.data.shape).to(device)
    model.bf16 = spec.training.precision == "bf16"
    if spec.training.channels_last:
        model.to(memory_format=torch.channels_last)
    if spec.training.compile:
        model.compile()
    trainee = _Trainee(
        spec=spec,
        ranks=ranks,
        model=model,
        network=ranks.wrap(model, spec.batch_size),
        optimizer=build_optimizer(spec.optimizer, model.parameters()),
        schedule=schedule,
        images=torch.from_numpy(split.train).to(device),
        batches=_Batches(spec.seed, spec.data.n, spec.batch_size),
        generator=torch.Generator(device=device),
    )
    return trainee, Evaluator(spec, split, pca, schedule, device, ranks)


def train(
    spec: RunSpec, images: np.ndarray, context: RunContext, device: torch.device, ranks: Ranks | None = None
) -> Outcome:
    """Train and evaluate a run, from its newest checkpoint if there is one.

    Args:
        spec: the run.
        images: the whole prepared data set, uint8 (N, C, H, W), may be memory-mapped.
        context: where rows and checkpoints go, and who may ask to stop.
        device: where to compute.
        ranks: the processes that train the run together, each of which calls this; None for this one alone. Rank 0
            alone decides when to stop or to checkpoint, and has the context in which that is kept.

    Raises:
        NotFiniteError: the loss is not finite; rows published before are from finite losses.
        DataError: fewer images than the spec needs.
    """
    ranks = ranks or Ranks()
    trainee, evaluator = _prepare(spec, images, device, ranks)
    state = ranks.broadcast(context.restore())
    tau = trainee.load(state) if state is not None else 0
    taus = set(spec.taus)
    losses = Losses(ranks)
    trainee.model.train()
    while tau < spec.training.steps:
        tau += 1
        losses.append(tau, trainee.step(tau))
        if tau in taus:
            losses.check(tau)
            _publish(context, spec, tau, evaluator.measure(trainee.model))
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
    """Metrics go last: an evaluation that has them is whole."""
    near = measured.neighbours
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
    if len(gallery):
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
