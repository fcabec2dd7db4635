"""Types of settings: what a number, a switch and a group of settings may be.

The groups of settings (`data`, `model`, `objective`, `optimizer`, `training`, `evaluation`) are written in
them; none of these knows another, what must hold between them is in `jobs.spec.consistency`. Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: object) -> object:
    # pydantic would take `true` for 1, and YAML reads `yes` as true: never what the user meant.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _unsigned_zero(value: float) -> float:
    return value + 0.0  # -0.0 and 0.0 are one run


Whole = Annotated[int, BeforeValidator(_number), Field(lt=2**63)]  # the store's columns are int64
Real = Annotated[float, BeforeValidator(_number), AfterValidator(_unsigned_zero), Field(allow_inf_nan=False)]
Count = Annotated[Whole, Field(gt=0)]
Positive = Annotated[Real, Field(gt=0)]


def _off(value: object) -> object:
    return None if value is False else value  # off and not given are one run


Switch = Annotated[Literal[True] | None, BeforeValidator(_off)]
"""On or off, as an option added later: off is None and left out of the run's id."""


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def remark(self) -> str | None:
        """What to tell whoever plans or runs this: it does otherwise than may be expected.

        None if it does not.
        """
        return None


class Kind(Group):
    """One of several groups of which a run has one: a kind of data, model, objective or optimiser.

    Its first field has the name of the group and one value, the kind's name: `model: Literal["unet"]`.

    Attributes:
        group: `data`, `model`, `objective` or `optimizer`.
        builder: what makes the thing of its settings, as "package.module:function"; a name, since settings
            load no torch. The module that calls it says how: `jobs.data.load`, `jobs.models.build`,
            `jobs.diffusion.objective`, `jobs.training.optimizers`.
    """

    group: ClassVar[str]
    builder: ClassVar[str]
