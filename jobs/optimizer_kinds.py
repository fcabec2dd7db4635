"""Kinds of optimisers and their settings; what is made of them is in `jobs.trainee`. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jobs.fields import Group, Positive, Real


class Adam(Group):
    """Adam (Kingma & Ba 2015)."""

    optimizer: Literal["adam"] = "adam"
    lr: Positive = Field(description="learning rate")
    beta1: Annotated[Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")


class SGD(Group):
    """Stochastic gradient descent with momentum, the paper's optimiser on CelebA."""

    optimizer: Literal["sgd"]
    lr: Positive = Field(description="learning rate")
    momentum: Annotated[Real, Field(ge=0, lt=1)] = Field(0.95, description="momentum")
