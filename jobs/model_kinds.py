"""Kinds of networks and their settings; what is made of them is in `jobs.models`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.fields import Count, Group, Real, Whole
from storage.errors import SettingError

if TYPE_CHECKING:
    from jobs.spec import RunSpec


class MLP(Group):
    """A residual multilayer perceptron: of vectors, or of images taken as vectors (see `jobs.mlp`)."""

    model: Literal["mlp"]
    W: Annotated[Whole, Field(ge=2, le=65536, multiple_of=2)] = Field(
        128, description="width: features of each block"
    )
    blocks: Annotated[Count, Field(le=64)] = Field(3, description="residual blocks")

    def require_fit(self, spec: RunSpec) -> None:
        """There is no layout of channels to choose."""
        if spec.training.channels_last:
            raise SettingError("channels_last", True, "only with model = unet: a model = mlp has no channels")


class UNet(Group):
    """diffusers' UNet2DModel, its channels given by the base width W."""

    model: Literal["unet"] = "unet"
    W: Annotated[Whole, Field(ge=4, le=8192, multiple_of=4)] = Field(
        description="base width: channels of the first level"
    )
    multipliers: tuple[Annotated[Count, Field(le=64)], ...] = Field(
        description="channels of each level in units of W"
    )
    attention: tuple[bool, ...] = Field(description="which levels attend to themselves")
    layers: Annotated[Count, Field(le=64)] = Field(description="ResNet blocks a level")
    dropout: Annotated[Real, Field(ge=0, lt=1)] = Field(0.0, description="dropout rate in the ResNet blocks")

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not self.multipliers:
            raise ValueError("multipliers needs at least one level")
        if len(self.multipliers) != len(self.attention):
            raise ValueError(
                f"multipliers has {len(self.multipliers)} levels and attention {len(self.attention)}; give as many"
            )
        return self

    def require_fit(self, spec: RunSpec) -> None:
        """The image must divide by two at each level but the last."""
        if len(spec.data.shape) != 3:
            raise SettingError("model", self.model, f"needs images; data = {spec.data.data} gives vectors")
        height = spec.data.shape[1]
        halvings = len(self.multipliers) - 1
        if height % 2**halvings:
            raise SettingError(
                "multipliers",
                list(self.multipliers),
                f"{halvings + 1} levels halve the image {halvings} times, but {height} pixels do not divide by "
                f"{2**halvings}; give fewer levels",
            )
