"""Kinds of networks and their settings; `jobs.models.build` builds them. Torch-free."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tausweep.jobs.spec.fields import Count, Kind, Positive, Real, Whole
from tausweep.storage.errors import SettingError


class ModelKind(Kind):
    """A kind of network, registered in `jobs.spec.kinds`."""

    group: ClassVar[str] = "model"

    model: str


class MLP(ModelKind):
    """A residual multilayer perceptron for vectors, or for images as flat vectors (see `jobs.models.mlp`)."""

    builder: ClassVar[str] = "tausweep.jobs.models.mlp:build_mlp"

    model: Literal["mlp"]
    W: Annotated[Whole, Field(ge=2, le=65536, multiple_of=2)] = Field(
        128, description="width: features of each block"
    )
    blocks: Annotated[Count, Field(le=64)] = Field(3, description="residual blocks")


_MOST_GROUPS = 32
LESS_BLIND = "which cancels what is added to a channel; give norm_groups below W, such as 4"
"""How a network that does not see the time is mended, the end of a sentence."""


class UNet(ModelKind):
    """diffusers' UNet2DModel, its channels given by the base width W."""

    builder: ClassVar[str] = "tausweep.jobs.models.unet:build_unet"

    model: Literal["unet"] = "unet"
    W: Annotated[Whole, Field(ge=4, le=8192, multiple_of=4)] = Field(
        description="base width: channels of the first level"
    )
    multipliers: tuple[Annotated[Count, Field(le=64)], ...] = Field(
        description="channels of each level in units of W"
    )
    attention: tuple[bool, ...] = Field(description="which levels have self-attention")
    layers: Annotated[Count, Field(le=64)] = Field(description="ResNet blocks per level")
    dropout: Annotated[Real, Field(ge=0, lt=1)] = Field(0.0, description="dropout rate in the ResNet blocks")
    norm_groups: Annotated[Count, Field(le=8192)] | None = Field(
        None, description="groups of each group norm, a divisor of W; none: as many as divide W, up to 32"
    )

    @property
    def groups(self) -> int:
        """Groups of each group norm."""
        return self.norm_groups or max(g for g in range(1, _MOST_GROUPS + 1) if self.W % g == 0)

    @property
    def blind(self) -> bool:
        """Whether it sees neither time nor class: norms with one channel per group cancel such inputs."""
        return all(self.W * multiplier == self.groups for multiplier in self.multipliers)

    @property
    def remark(self) -> str | None:
        """A message if the network does not see the diffusion time."""
        if not self.blind:
            return None
        return (
            f"networks of W = {self.W} and multipliers = {list(self.multipliers)} do not see the diffusion time: each "
            f"norm has one channel per group, {LESS_BLIND}"
        )

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not self.multipliers:
            raise ValueError("multipliers needs at least one level")
        if len(self.multipliers) != len(self.attention):
            raise ValueError(
                f"multipliers has {len(self.multipliers)} levels and attention {len(self.attention)}; give the same number"
            )
        return self


def features(psi_p: float, d: int) -> int:
    """The number p = psi_p·d of random features.

    Raises:
        SettingError: it is not an integer of at least 1.
    """
    p = round(psi_p * d)
    if p < 1 or not math.isclose(p, psi_p * d, rel_tol=1e-9):
        below, above = (max(1, bound) / d for bound in (math.floor(psi_p * d), math.ceil(psi_p * d)))
        raise SettingError(
            "psi_p",
            psi_p,
            f"p = psi_p·d must be an integer number of features, but with d = {d} it is {psi_p * d:g}; "
            f"the nearest psi_p are {below:g} and {above:g}",
        )
    return p


class RandomFeatures(ModelKind):
    """A hidden layer of fixed random weights and a trained linear layer (`jobs.random_features.moments`)."""

    builder: ClassVar[str] = "tausweep.jobs.models.score_matrix:build_score_matrix"

    model: Literal["random_features"]
    psi_p: Positive = Field(description="features per dimension of the data: p = psi_p·d")
    activation: Literal["tanh", "erf"] = Field("tanh", description="activation of the hidden layer")
