"""The optimisers, built from their settings.

Called by the trainee, which sets the learning rate itself during warm-up.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TypeVar, cast

import torch
from torch import nn

from tausweep.jobs.spec.kinds import builder_of
from tausweep.jobs.spec.optimizer import SGD, Adam, AdamW, GradientDescent, OptimizerKind

Parameters = Iterable[nn.Parameter]
_Kind = TypeVar("_Kind", bound=torch.optim.Optimizer)


def _uncompiled(optimizer: type[_Kind]) -> type[_Kind]:
    """An optimiser of torch without hooks for torch's compiler; it computes the same.

    Torch marks these methods for its compiler in wrappers that load it, 1.4 s of CPU, when they are first
    called.
    """
    marked = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods: dict[str, object] = {name: inspect.unwrap(getattr(optimizer, name)) for name in marked}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return cast("type[_Kind]", type(optimizer.__name__, (optimizer,), methods))


_SGD, _Adam, _AdamW = (
    _uncompiled(torch.optim.SGD),
    _uncompiled(torch.optim.Adam),
    _uncompiled(torch.optim.AdamW),
)


def build_optimizer(settings: OptimizerKind, parameters: Parameters) -> torch.optim.Optimizer:
    """The optimiser of a run. The builder of a kind is called with the same arguments.

    These are fused: one kernel over all parameters instead of several for each. With gradient g, rate η and
    step count τ from 1:

    - `adam`: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η·m̂/(√v̂ + 1e-8), m̂ = m/(1 − β₁^τ),
      v̂ = v/(1 − β₂^τ) (Kingma & Ba 2015, algorithm 1);
    - `adamw`: θ ← (1 − ηλ)θ before that step (Loshchilov & Hutter 2019, algorithm 2, with the rate in the
      decay);
    - `sgd`: b ← μb + g, θ ← θ − ηb, b = g at first;
    - `gd`: θ ← θ − ηg.

    Args:
        settings: the optimiser's kind and numbers.
        parameters: the tensors that it updates.
    """
    optimizer: torch.optim.Optimizer = builder_of(settings)(settings, parameters)
    return optimizer


def adam(settings: Adam, parameters: Parameters) -> torch.optim.Optimizer:
    """Adam."""
    betas = (settings.beta1, settings.beta2)
    return _Adam(parameters, lr=settings.lr, betas=betas, fused=True)


def adamw(settings: AdamW, parameters: Parameters) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay."""
    return _AdamW(
        parameters,
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def sgd(settings: SGD, parameters: Parameters) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return _SGD(parameters, lr=settings.lr, momentum=settings.momentum, fused=True)


def gd(settings: GradientDescent, parameters: Parameters) -> torch.optim.Optimizer:
    """Gradient descent without momentum."""
    return _SGD(parameters, lr=settings.lr, fused=True)
