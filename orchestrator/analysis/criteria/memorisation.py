"""Criteria of tau_mem on f_mem, the fraction of samples that are copies of training images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.spec.metrics import F_MEM, of_class
from tausweep.orchestrator.analysis.criteria.criterion import NUMBER, THRESHOLD, own_threshold, written
from tausweep.orchestrator.analysis.criteria.first_crossing import (
    Crossings,
    Floats,
    Quantity,
    first_crossing,
    has_settled,
    provisional,
)
from tausweep.storage.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OfSamples:
    """Common part of criteria on f_mem: the curve counts a run's samples, the interval resamples them.

    Attributes:
        k: threshold of the gap ratio; None for that of the whole study.
    """

    k: float | None = None
    quantity: Quantity = "tau_mem"
    measure: str = F_MEM
    t: None = None
    rises: ClassVar[bool] = True

    @property
    def label(self) -> int | None:
        """The class whose samples count; None for all samples."""
        return None


@dataclass(frozen=True, kw_only=True)
class MemorisedFraction(OfSamples):
    """tau_mem: f_mem reaches a level; with a label, f_mem is that of the samples of one class."""

    level: float = 0.1
    label: int | None = None
    forms: ClassVar[tuple[str, ...]] = ("f_mem=0.1", "f_mem=0.1@k1/2", "f_mem_class3=0.1")
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"{F_MEM}(?:_class(?P<label>0|[1-9][0-9]{{0,5}}))?=(?P<level>{NUMBER}){THRESHOLD}"
    )

    @property
    def name(self) -> str:
        """Such as `f_mem=0.1`, `f_mem=0.1@k1/2` with a threshold, or `f_mem_class3=0.1` for one class."""
        metric = F_MEM if self.label is None else of_class(F_MEM, self.label)
        return f"{metric}={self.level:g}" + (f"@k{written(self.k)}" if self.k is not None else "")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        level = float(given["level"])
        if not 0 < level <= 1:
            raise InputError("f_mem lies in 0…1, so a level above 0 is needed")
        label = int(given["label"]) if "label" in given else None
        return cls(level=level, k=own_threshold(given), label=label)

    def cross(self, tau: NDArray[np.integer], f_mem: Floats) -> Crossings:
        """Crossings of f_mem (..., T), in 0…1, evaluated at tau (T,)."""
        return first_crossing(tau, f_mem, self.level)


@dataclass(frozen=True, kw_only=True)
class MemorisedHalfMaximum(OfSamples):
    """tau_mem: f_mem reaches half of the run's own maximum.

    Undefined, and counted as right-censored, where that maximum is below `floor`, or where f_mem still rises:
    not yet within a tenth of its maximum at half of the budget. A maximum cut off by the budget would put
    tau_mem far too low, most so at large n.
    """

    floor: float = 0.1
    forms: ClassVar[tuple[str, ...]] = ("f_mem=half_max",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(rf"{F_MEM}=half_max{THRESHOLD}")

    @property
    def name(self) -> str:
        """`f_mem=half_max`, or `f_mem=half_max@k1/2` with a threshold."""
        return f"{F_MEM}=half_max" + (f"@k{written(self.k)}" if self.k is not None else "")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        return cls(k=own_threshold(given))

    def cross(self, tau: NDArray[np.integer], f_mem: Floats) -> Crossings:
        """Crossings of f_mem (..., T), in 0…1, evaluated at tau (T,)."""
        maximum = f_mem.max(axis=-1)
        crossings = first_crossing(tau, f_mem, np.maximum(maximum, self.floor) / 2)
        return provisional(crossings, (maximum >= self.floor) & has_settled(tau, f_mem))
