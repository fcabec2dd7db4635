"""The groups of settings that make up a run, each setting with its type, range, default and meaning.

`jobs.spec` puts the groups together into a run and gives it its id. The names are one flat vocabulary over all groups:
the sweep file's fields, the axes, the filters and the store's columns.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _number(value: object) -> object:
    # pydantic would take `true` for 1, and YAML reads `yes` as true: never what the user meant.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _unsigned_zero(value: float) -> float:
    return value + 0.0  # -0.0 and 0.0 are one run


Whole = Annotated[int, BeforeValidator(_number), Field(lt=2**63)]  # the store's columns are int64
_Real = Annotated[float, BeforeValidator(_number), AfterValidator(_unsigned_zero), Field(allow_inf_nan=False)]
Count = Annotated[Whole, Field(gt=0)]
Positive = Annotated[_Real, Field(gt=0)]

_PLAIN_BATCH = re.compile(r"0*(?P<size>[1-9][0-9]{0,17})(\.0*)?")
_MIN_BATCH = re.compile(r"min\(\s*(?P<cap>[1-9][0-9]*)\s*,\s*n\s*\)")


def _batch(value: object) -> object:
    text = str(value).strip()
    if match := _PLAIN_BATCH.fullmatch(text):
        return int(match["size"])
    if match := _MIN_BATCH.fullmatch(text):
        return f"min({int(match['cap'])}, n)"
    if text == "n":
        return "n"
    raise ValueError("a batch size such as 64, or min(512, n), or n for full batch")


Batch = Annotated[int | str, BeforeValidator(_batch)]


def _off(value: object) -> object:
    return None if value is False else value  # off and not given are one run


Switch = Annotated[Literal[True] | None, BeforeValidator(_off)]
"""On or off, as an option added later: off is None and left out of the run's id."""


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Images(Group):
    fingerprint: str = Field(description="content hash of the prepared images")
    n: Annotated[Whole, Field(ge=2)] = Field(description="training-set size")
    subset: Annotated[Whole, Field(ge=0)] = Field(
        0, description="subset i trains on images i·n … (i+1)·n − 1"
    )
    pixel_scale: Positive = Field(1.0, description="width of the pixel range; 1 as in the paper, 2 for −1…1")


class Digits(_Images):
    """scikit-learn's 1,797 handwritten digits, 8×8 grey; ships with the package, needs no download."""

    data: Literal["digits"] = "digits"
    test_images: Annotated[Whole, Field(ge=2)] = Field(512, description="images held out, from the end")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return (1, 8, 8)


class Folder(_Images):
    """A folder of PNG and JPEG images, resized and cropped to a square."""

    data: Literal["folder"]
    test_images: Annotated[Whole, Field(ge=2)] = Field(2048, description="images held out, from the end")
    size: Annotated[Whole, Field(ge=4, le=512)] = Field(32, description="height and width in pixels")
    color: Literal["grey", "rgb"] = Field("grey", description="grey or rgb")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return (1 if self.color == "grey" else 3, self.size, self.size)


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
    dropout: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.0, description="dropout rate in the ResNet blocks")

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not self.multipliers:
            raise ValueError("multipliers needs at least one level")
        if len(self.multipliers) != len(self.attention):
            raise ValueError(
                f"multipliers has {len(self.multipliers)} levels and attention {len(self.attention)}; give as many"
            )
        return self


class DDPM(Group):
    """Denoising diffusion with a linear beta schedule (Ho et al. 2020, arXiv:2006.11239)."""

    objective: Literal["ddpm"] = "ddpm"
    timesteps: Annotated[Whole, Field(ge=2)] = Field(1000, description="diffusion timesteps T")
    beta_start: Annotated[_Real, Field(gt=0, lt=1)] = Field(1e-4, description="beta at t = 0")
    beta_end: Annotated[_Real, Field(gt=0, lt=1)] = Field(0.02, description="beta at t = T − 1")
    prediction: Literal["epsilon", "v"] = Field("epsilon", description="what the network predicts")


class Adam(Group):
    """Adam (Kingma & Ba 2015)."""

    optimizer: Literal["adam"] = "adam"
    lr: Positive = Field(description="learning rate")
    beta1: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")


class AdamW(Group):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    optimizer: Literal["adamw"]
    lr: Positive = Field(description="learning rate")
    beta1: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.9, description="decay of the first moment")
    beta2: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.999, description="decay of the second moment")
    weight_decay: Annotated[_Real, Field(ge=0)] = Field(
        0.01, description="every weight shrinks by lr·weight_decay a step"
    )


class SGD(Group):
    """Stochastic gradient descent with momentum, the paper's optimiser on CelebA."""

    optimizer: Literal["sgd"]
    lr: Positive = Field(description="learning rate")
    momentum: Annotated[_Real, Field(ge=0, lt=1)] = Field(0.95, description="momentum")


class GradientDescent(Group):
    """Gradient descent without momentum on all training images at once: it needs batch = n.

    Noise and diffusion time are still drawn at every step, so that only the images' part of the noise is gone.
    """

    optimizer: Literal["gd"]
    lr: Positive = Field(description="learning rate")


class Training(Group):
    """How long, on what batches and in what arithmetic; the batch policy has no default, it changes the exponent of n."""

    batch: Batch = Field(description="batch size: a number, min(512, n) as in the paper, or n")
    steps: Count = Field(description="optimiser updates; the budget in tau")
    warmup: Annotated[Whole, Field(ge=0)] = Field(0, description="steps of linear learning-rate warm-up")
    clip: Positive | None = Field(None, description="largest norm of the gradient; none: not clipped")
    precision: Literal["bf16"] | None = Field(
        None, description="bf16: the network computes under autocast; none: float32"
    )
    channels_last: Switch = Field(None, description="keep the weights in memory as NHWC")
    compile: Switch = Field(None, description="compile the network with torch.compile")

    def batch_size(self, n: int) -> int:
        """Images an optimiser update for n training images."""
        if isinstance(self.batch, int):
            return self.batch
        match = _MIN_BATCH.fullmatch(self.batch)
        return min(int(match["cap"]), n) if match else n


class Evaluation(Group):
    """When the run is measured and on how much."""

    eval_first: Count = Field(30, description="first tau that is evaluated")
    eval_per_decade: Annotated[Count, Field(le=1000)] = Field(
        8, description="evaluations a factor ten in tau, log-spaced"
    )
    loss_t: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(
        (50, 150, 500), description="diffusion timesteps at which losses are measured"
    )
    loss_pairs: Count = Field(256, description="(image, noise) pairs a loss, the same at each tau")
    samples: Annotated[Whole, Field(ge=2)] = Field(200, description="generated samples an evaluation")
    ddim_steps: Count = Field(25, description="steps of the DDIM sampler")
    clip_x0: bool = Field(
        True, description="whether the sampler clips its x_0 predictions to the range of pixels"
    )
    frechet_dims: Annotated[Whole, Field(ge=1)] = Field(
        16, description="principal components of the pixel-PCA feature space of frechet_pca"
    )
    gallery: Annotated[Whole, Field(ge=0)] = Field(8, description="samples kept as images, an evaluation")

    def taus(self, steps: int) -> tuple[int, ...]:
        """Steps at which a run of so many steps is evaluated: log-spaced from eval_first, and the last one."""
        decades = math.log10(steps / self.eval_first)
        count = int(decades * self.eval_per_decade + 1e-9) + 1
        grid = {round(self.eval_first * 10 ** (i / self.eval_per_decade)) for i in range(count)}
        return tuple(sorted({tau for tau in grid if tau <= steps} | {steps}))
