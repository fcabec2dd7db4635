"""Kinds of optimisers and their settings; what is made of them is in `jobs.training.optimizers`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tausweep.jobs.spec.fields import Group, Positive, Real
from tausweep.storage.errors import SettingError

if TYPE_CHECKING:
    from tausweep.jobs.spec.run_spec import RunSpec


class Adam(Group):
    """Adam (Kingma & Ba 2015)."""

    optimizer: Literal["adam"] = "adam"
    lr: Positive = Field(description="learning rate")
    beta1: Annotated[Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")


class AdamW(Group):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    optimizer: Literal["adamw"]
    lr: Positive = Field(description="learning rate")
    beta1: Annotated[Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(
        0.01, description="every weight shrinks by lr·weight_decay a step"
    )


class SGD(Group):
    """Stochastic gradient descent with momentum, the paper's optimiser on CelebA."""

    optimizer: Literal["sgd"]
    lr: Positive = Field(description="learning rate")
    momentum: Annotated[Real, Field(ge=0, lt=1)] = Field(0.95, description="momentum")


class GradientDescent(Group):
    """Gradient descent without momentum on all training images at once: it needs batch = n.

    Noise and diffusion time are still drawn at every step, so that only the images' part of the noise is gone.
    """

    optimizer: Literal["gd"]
    lr: Positive = Field(description="learning rate")

    def require_fit(self, spec: RunSpec) -> None:
        """Gradient descent takes all training samples."""
        if spec.training.batch != "n":
            raise SettingError(
                "batch",
                spec.training.batch,
                "optimizer = gd is full-batch gradient descent and needs batch = n; on smaller batches use "
                "optimizer = sgd with momentum = 0",
            )
