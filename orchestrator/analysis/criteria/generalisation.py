"""Criteria of tau_gen: when samples reach the run's best quality, or a fixed distance.

Both read a distance between generated and held-out images, or the error of the score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.spec.metrics import FRECHET_PCA, QUALITY_PATTERN, SCORE_ERROR
from tausweep.orchestrator.analysis.criteria.criterion import NUMBER
from tausweep.orchestrator.analysis.criteria.first_crossing import (
    Crossings,
    Floats,
    Quantity,
    first_crossing,
    provisional,
)
from tausweep.storage.errors import InputError


@dataclass(frozen=True, kw_only=True)
class QualityPlateau:
    """tau_gen: a distance, or the error of the score, comes within a factor of the run's smallest value.

    Relative to the run's own minimum, because the plateau depends on the number of samples and on n.
    Right-censored where no evaluation in the first half of the budget is that close: the distance is still
    falling, and its smallest value so far is not a plateau. Interpolated logarithmically in both tau and the
    distance.
    """

    factor: float = 1.25
    quantity: Quantity = "tau_gen"
    measure: str = FRECHET_PCA
    t: float | None = None
    rises: ClassVar[bool] = False
    forms: ClassVar[tuple[str, ...]] = ("frechet_pca<=1.25*min", "score_error<=1.25*min@t0.1")
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"(?:(?P<measure>{QUALITY_PATTERN})(?:≤|<=)(?P<factor>{NUMBER})[·*]min"
        rf"|(?P<error>{SCORE_ERROR})(?:≤|<=)(?P<error_factor>{NUMBER})[·*]min@t(?P<t>{NUMBER}))"
    )

    @property
    def name(self) -> str:
        """Such as `frechet_pca≤1.25·min`, or `score_error≤1.25·min@t0.1` with a diffusion time."""
        return f"{self.measure}≤{self.factor:g}·min" + (f"@t{self.t:g}" if self.t is not None else "")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        factor = float(given.get("factor") or given["error_factor"])
        if factor <= 1:
            raise InputError("a factor above 1 is needed, because the smallest distance itself is noise")
        t = float(given["t"]) if "t" in given else None
        return cls(measure=given.get("measure") or given["error"], factor=factor, t=t)

    def cross(self, tau: NDArray[np.integer], distance: Floats) -> Crossings:
        """Crossings of the distance (..., T), at least 0, evaluated at tau (T,)."""
        log = _log(distance)
        level = log.min(axis=-1) + np.log(self.factor)
        settled = (log[..., 2 * tau <= tau[-1]] <= level[..., None]).any(axis=-1)
        return provisional(first_crossing(tau, -log, -level), settled)


@dataclass(frozen=True, kw_only=True)
class QualityLevel:
    """tau_gen: a distance to the held-out images falls to a fixed level, the same for every n.

    The plateau is lower for larger n, so a level relative to it is reached later. A fixed level compares
    equal qualities, as long as every n reaches it. Interpolated logarithmically in both tau and the distance.
    """

    level: float
    measure: str
    quantity: Quantity = "tau_gen"
    t: None = None
    rises: ClassVar[bool] = False
    forms: ClassVar[tuple[str, ...]] = ("frechet_pca<=0.8",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"(?P<measure>{QUALITY_PATTERN})(?:≤|<=)(?P<level>{NUMBER})"
    )

    @property
    def name(self) -> str:
        """Such as `frechet_pca≤0.8`."""
        return f"{self.measure}≤{self.level:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """See `Criterion.read`."""
        level = float(given["level"])
        if level <= 0:
            raise InputError("a distance above 0 is needed")
        return cls(measure=given["measure"], level=level)

    def cross(self, tau: NDArray[np.integer], distance: Floats) -> Crossings:
        """Crossings of the distance (..., T), at least 0, evaluated at tau (T,)."""
        return first_crossing(tau, -_log(distance), -np.log(self.level))


def _log(distance: Floats) -> Floats:
    # A distance that rounds to 0 has no logarithm; the smallest float puts its crossing at that evaluation.
    logs: Floats = np.log(np.maximum(distance, np.finfo(np.float64).tiny))
    return logs
