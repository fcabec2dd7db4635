"""How a run is trained: budget, batches, arithmetic. Torch-free."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tausweep.jobs.spec.fields import Count, Group, Positive, Real, Switch, Whole

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


class Training(Group):
    """How long, on what batches and in what arithmetic.

    The batch policy has no default, because it changes the exponent of n.
    """

    batch: Batch = Field(description="batch size: a number, min(512, n) as in the paper, or n")
    steps: Count = Field(description="number of optimiser updates; the budget in tau")
    warmup: Annotated[Whole, Field(ge=0)] = Field(0, description="steps of linear learning-rate warm-up")
    clip: Positive | None = Field(None, description="gradients are clipped to this norm; none: not clipped")
    precision: Literal["bf16"] | None = Field(
        None, description="bf16: the network computes under autocast; none: float32"
    )
    channels_last: Switch = Field(None, description="keep the weights in memory as NHWC")
    compile: Switch = Field(None, description="compile the network with torch.compile")
    conditional: Switch = Field(None, description="the network receives each sample's class")
    label_dropout: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        None, description="fraction of labels replaced by the null class; only if conditional"
    )

    def batch_size(self, n: int) -> int:
        """Images per optimiser update for n training images."""
        if isinstance(self.batch, int):
            return self.batch
        match = _MIN_BATCH.fullmatch(self.batch)
        return min(int(match["cap"]), n) if match else n
