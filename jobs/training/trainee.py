"""Trainees: their state, and how they advance from one tau to a later one.

Called by the training loop. Every random number of step tau is derived from (seed, tau), so the state is the
weights, the optimiser and tau, and a checkpoint needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tausweep.jobs.data.batches import Batches
from tausweep.jobs.data.split import Split
from tausweep.jobs.diffusion.ddpm import Model
from tausweep.jobs.diffusion.guidance import drop_labels
from tausweep.jobs.diffusion.objective import Objective
from tausweep.jobs.models.build import build_model
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.seeds import derive
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.optimizers import build_optimizer


class Trainee(Protocol):
    """The interface of everything that the training loop trains."""

    @property
    def model(self) -> nn.Module:
        """The network for evaluation."""

    def state(self, tau: int) -> dict[str, Any]:
        """The state for a checkpoint after tau updates."""

    def load(self, state: dict[str, Any]) -> int:
        """Go on from a checkpoint's state; returns its tau."""

    def advance(self, tau: int, until: int) -> tuple[int, Tensor | None]:
        """Train on.

        Args:
            tau: updates done.
            until: the next evaluated tau, above tau, which is not passed.

        Returns:
            Updates done now, more than tau and at most until; and the loss of the last, or None.
        """


@dataclass(frozen=True, kw_only=True)
class Optimised:
    """A trainee that an optimiser updates step by step, and its checkpoints.

    Attributes:
        model: the network.
        optimizer: the optimiser.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer

    def state(self, tau: int) -> dict[str, Any]:
        """The state for a checkpoint after tau updates."""
        return {"tau": tau, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> int:
        """Go on from a checkpoint's state; returns its tau."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["tau"])


@dataclass(frozen=True, kw_only=True)
class SteppedTrainee(Optimised):
    """A network trained step by step.

    Attributes:
        spec: the run.
        ranks: the processes that train it together.
        network: the network as a step calls it: with gradients averaged over ranks.
        objective: the objective.
        train: training samples, (n, C, H, W) or (n, d) float32, on the device.
        labels: class of each, (n,) int64, on the device; None if the network takes no labels.
        batches: training samples of step tau.
        generator: of noise and diffusion times, on the device.
    """

    spec: RunSpec
    ranks: Ranks
    network: nn.Module
    objective: Objective
    train: Tensor
    labels: Tensor | None
    batches: Callable[[int], np.ndarray]
    generator: torch.Generator

    def advance(self, tau: int, until: int) -> tuple[int, Tensor]:  # noqa: ARG002 - of those that can jump
        """One optimiser update.

        Its loss is this rank's part of the batch's mean loss, still on the device.
        """
        return tau + 1, self._step(tau + 1)

    def _step(self, tau: int) -> Tensor:
        spec, device = self.spec, self.train.device
        index = torch.from_numpy(self.batches(tau)).to(device)
        x0 = self.train[index]  # (batch, C, H, W) or (batch, d)
        self.generator.manual_seed(derive(spec.seed, "noise", tau))
        t = self.objective.draw_t(len(x0), self.generator)
        noise = torch.randn(x0.shape, generator=self.generator, device=device)
        if getattr(spec.model, "dropout", 0):  # the one consumer of torch's global generator
            torch.manual_seed(derive(spec.seed, "dropout", tau))
        if tau <= spec.training.warmup:
            _set_lr(self.optimizer, spec.optimizer.lr * tau / spec.training.warmup)
        rows = self.ranks.rows(len(x0))
        losses = self.objective.loss(self._told(index, rows, tau), x0[rows], noise[rows], t[rows])
        loss = self.ranks.mean(losses, len(x0))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if spec.training.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), spec.training.clip)
        self.optimizer.step()
        return loss

    def _told(self, index: Tensor, rows: slice, tau: int) -> Model:
        """The network as a `model(x, t)` with the labels of these rows that are not dropped."""
        spec = self.spec
        if self.labels is None or spec.classes is None or spec.training.label_dropout is None:
            return self.network
        labels = drop_labels(self.labels[index], spec.training.label_dropout, spec.classes, spec.seed, tau)
        return partial(self.network, labels=labels[rows])


def _set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def stepped_trainee(
    spec: RunSpec, split: Split, objective: Objective, device: torch.device, ranks: Ranks
) -> SteppedTrainee:
    """The network, the optimiser and the batches of a run, before its first step."""
    torch.manual_seed(derive(spec.seed, "init"))
    bf16 = spec.training.precision == "bf16"
    labels = None if spec.classes is None else split.train_labels
    model = build_model(spec.model, spec.data.shape, bf16=bf16, classes=spec.classes).to(device)
    if spec.training.channels_last:
        model.to(memory_format=torch.channels_last)
    if spec.training.compile:
        model.compile()
    return SteppedTrainee(
        spec=spec,
        ranks=ranks,
        model=model,
        network=ranks.wrap(model, spec.batch_size),
        optimizer=build_optimizer(spec.optimizer, model.parameters()),
        objective=objective,
        train=torch.from_numpy(split.train).to(device),
        labels=None if labels is None else torch.from_numpy(labels).to(device),
        batches=Batches(spec.seed, spec.data.n, spec.batch_size),
        generator=torch.Generator(device=device),
    )
