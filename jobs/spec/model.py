"""Kinds of networks and their settings; what is made of them is in `jobs.models.build`. Torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tausweep.jobs.spec.fields import Count, Group, Positive, Real, Whole
from tausweep.storage.errors import SettingError

if TYPE_CHECKING:
    from tausweep.jobs.spec.run_spec import RunSpec


class MLP(Group):
    """A residual multilayer perceptron: of vectors, or of images taken as vectors (see `jobs.models.mlp`)."""

    model: Literal["mlp"]
    W: Annotated[Whole, Field(ge=2, le=65536, multiple_of=2)] = Field(
        128, description="width: features of each block"
    )
    blocks: Annotated[Count, Field(le=64)] = Field(3, description="residual blocks")

    def require_fit(self, spec: RunSpec) -> None:
        """There is no layout of channels to choose."""
        if spec.training.channels_last:
            raise SettingError("channels_last", True, "only with model = unet: a model = mlp has no channels")


_MOST_GROUPS = 32
_LESS_BLIND = "which cancels what is added to a channel; give norm_groups below W, such as 4"


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
    norm_groups: Annotated[Count, Field(le=8192)] | None = Field(
        None, description="groups of each group norm, a divisor of W; none: as many as divide W, up to 32"
    )

    @property
    def groups(self) -> int:
        """Groups of each group norm."""
        return self.norm_groups or max(g for g in range(1, _MOST_GROUPS + 1) if self.W % g == 0)

    @property
    def blind(self) -> bool:
        """Whether it can't see the time or a class: norms of one channel a group cancel what is added to a channel."""
        return all(self.W * multiplier == self.groups for multiplier in self.multipliers)

    @property
    def remark(self) -> str | None:
        """That it does not see the diffusion time."""
        if not self.blind:
            return None
        return (
            f"networks of W = {self.W} and multipliers = {list(self.multipliers)} do not see the diffusion time: each "
            f"norm has one channel a group, {_LESS_BLIND}"
        )

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
        if self.norm_groups is not None and self.W % self.norm_groups:
            raise SettingError("norm_groups", self.norm_groups, f"a divisor of W = {self.W} is needed")
        if spec.training.conditional and self.blind:
            raise SettingError(
                "conditional",
                True,
                f"the network does not see the class: each norm has one channel a group, {_LESS_BLIND}",
            )
        height = spec.data.shape[1]
        halvings = len(self.multipliers) - 1
        if height % 2**halvings:
            raise SettingError(
                "multipliers",
                list(self.multipliers),
                f"{halvings + 1} levels halve the image {halvings} times, but {height} pixels do not divide by "
                f"{2**halvings}; give fewer levels",
            )


def features(psi_p: float, d: int) -> int:
    """The number p = psi_p·d of random features.

    Raises:
        SettingError: it is not a whole number of at least 1.
    """
    p = round(psi_p * d)
    if p < 1 or not math.isclose(p, psi_p * d, rel_tol=1e-9):
        below, above = (max(1, bound) / d for bound in (math.floor(psi_p * d), math.ceil(psi_p * d)))
        raise SettingError(
            "psi_p",
            psi_p,
            f"p = psi_p·d must be a whole number of features, with d = {d} it is {psi_p * d:g}; "
            f"the nearest psi_p are {below:g} and {above:g}",
        )
    return p


class RandomFeatures(Group):
    """One hidden layer of fixed random weights, a trained linear layer on top (see `jobs.random_features.moments`)."""

    model: Literal["random_features"]
    psi_p: Positive = Field(description="features a dimension of the data: p = psi_p·d")
    activation: Literal["tanh", "erf"] = Field("tanh", description="of the hidden layer")

    def require_fit(self, spec: RunSpec) -> None:
        """Its training is exact in the noise: at one diffusion time, on data of a known law and full batches."""
        kinds = {
            "objective": (spec.objective.objective, ("score_at_t",)),
            "data": (spec.data.data, ("gaussian", "student_t")),
            "optimizer": (spec.optimizer.optimizer, ("gd", "adam")),
            "batch": (spec.training.batch, ("n",)),
        }
        for name, (value, allowed) in kinds.items():
            if value not in allowed:
                raise SettingError(
                    name, value, f"model = random_features needs {name} = {' or '.join(allowed)}"
                )
        training = spec.training
        unused = {"warmup": training.warmup, "clip": training.clip, "precision": training.precision}
        unused |= {"channels_last": training.channels_last, "compile": training.compile}
        for name, given in unused.items():
            if given:
                raise SettingError(name, given, "model = random_features is trained without it; leave it out")
        features(self.psi_p, spec.data.shape[0])
