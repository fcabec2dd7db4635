"""Kinds of optimisers and their settings; `jobs.training.optimizers` builds them.

Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tausweep.jobs.spec.fields import Kind, Positive, Real


class OptimizerKind(Kind):
    """A kind of optimiser, registered in `jobs.spec.kinds`."""

    group: ClassVar[str] = "optimizer"

    optimizer: str
    lr: Positive = Field(description="learning rate")


class Adam(OptimizerKind):
    """Adam (Kingma & Ba 2015)."""

    builder: ClassVar[str] = "tausweep.jobs.training.optimizers:adam"

    optimizer: Literal["adam"] = "adam"
    beta1: Annotated[Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")


class AdamW(OptimizerKind):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    builder: ClassVar[str] = "tausweep.jobs.training.optimizers:adamw"

    optimizer: Literal["adamw"]
    beta1: Annotated[Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(
        0.01, description="every weight shrinks by lr·weight_decay per step"
    )


class SGD(OptimizerKind):
    """Stochastic gradient descent with momentum, the paper's optimiser on CelebA."""

    builder: ClassVar[str] = "tausweep.jobs.training.optimizers:sgd"

    optimizer: Literal["sgd"]
    momentum: Annotated[Real, Field(ge=0, lt=1)] = Field(0.95, description="momentum")


class GradientDescent(OptimizerKind):
    """Gradient descent without momentum on all training images at once: it needs batch = n.

    Noise and diffusion time are still drawn at every step, so that only the images' part of the noise is
    gone.
    """

    builder: ClassVar[str] = "tausweep.jobs.training.optimizers:gd"

    optimizer: Literal["gd"]
