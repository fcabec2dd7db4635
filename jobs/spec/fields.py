"""Types of settings: numbers, switches and groups of settings.

The groups of settings (`data`, `model`, `objective`, `optimizer`, `training`, `evaluation`) use them. These
groups do not know each other; rules between them are in `jobs.spec.consistency`. Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: object) -> object:
    # pydantic would read `true` as 1, and YAML reads `yes` as true: never what the user meant.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _unsigned_zero(value: float) -> float:
    return value + 0.0  # -0.0 and 0.0 mean the same run


Whole = Annotated[int, BeforeValidator(_number), Field(lt=2**63)]  # the store's columns are int64
Real = Annotated[float, BeforeValidator(_number), AfterValidator(_unsigned_zero), Field(allow_inf_nan=False)]
Count = Annotated[Whole, Field(gt=0)]
Positive = Annotated[Real, Field(gt=0)]


def _off(value: object) -> object:
    return None if value is False else value  # off and not given mean the same run


Switch = Annotated[Literal[True] | None, BeforeValidator(_off)]
"""On or off, as an option added later: off is None and left out of the run's id."""


class Group(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def remark(self) -> str | None:
        """A message for the user if this does something unexpected, else None."""
        return None


class Kind(Group):
    """One of several alternative groups: a kind of data, model, objective or optimiser.

    Its first field has the name of the group, and as its only value the name of the kind: `model:
    Literal["unet"]`.

    Attributes:
        group: `data`, `model`, `objective` or `optimizer`.
        builder: the function that builds from the settings, as text "package.module:function", since settings
            load no torch. The module that calls it documents the arguments: `jobs.data.load`,
            `jobs.models.build`, `jobs.diffusion.objective`, `jobs.training.optimizers`.
    """

    group: ClassVar[str]
    builder: ClassVar[str]
