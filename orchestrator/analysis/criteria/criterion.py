"""The interface of a criterion: a rule that turns one curve over tau into one time.

Each criterion is a value with a name, because an exponent means nothing without it, and can be parsed from
this name. A new one is a frozen dataclass in a module of this folder and one line in
`orchestrator.analysis.criteria.names`; it knows neither runs nor tables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tausweep.orchestrator.analysis.criteria.first_crossing import Crossings, Floats, Quantity
from tausweep.storage.errors import InputError

NUMBER = r"[0-9]*\.?[0-9]+(?:e-?[0-9]+)?"
"""A number above or equal to 0, as it stands in a name."""
THRESHOLD = rf"(?:@k(?P<k>1/[1-9][0-9]*|{NUMBER}))?"
"""A threshold k of its own, as it may end a name."""


class Criterion(Protocol):
    """A rule that turns one curve into a time; implemented by frozen dataclasses."""

    forms: ClassVar[tuple[str, ...]]
    """Names to show to a user whose own is not one."""
    pattern: ClassVar[re.Pattern[str]]
    """What the whole of a name looks like; `read` is given its groups."""
    rises: ClassVar[bool]
    """Whether the curve is expected to rise, so that isotonic smoothing may be applied to it."""

    @property
    def quantity(self) -> Quantity:
        """The timescale it defines."""

    @property
    def measure(self) -> str:
        """The metric whose curve it reads: `f_mem`, `loss_gap`, or the name of a stored metric."""

    @property
    def t(self) -> float | None:
        """The diffusion time of the metric; None for a metric that has none."""

    @property
    def name(self) -> str:
        """Its complete definition in a few characters, such as `f_mem=0.1@k1/2`."""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Criterion:
        """The criterion from a name that matches the pattern.

        Args:
            given: the matched groups of the pattern.

        Raises:
            InputError: a number is out of range.
        """

    def cross(self, tau: NDArray[np.integer], values: Floats, /) -> Crossings:
        """Times of many curves: values (..., T) evaluated at tau (T,), T at least 1."""


def written(k: float) -> str:
    """A threshold as the paper writes it: `1/3`, or `0.4` where it is not a unit fraction."""
    inverse = round(1 / k)
    return f"1/{inverse}" if inverse > 1 and math.isclose(1 / inverse, k) else f"{k:g}"


def parse_threshold(text: str) -> float:
    """A threshold k of the gap ratio, `1/3` or `0.4`.

    Raises:
        InputError: it is not a number in 0 < k ≤ 1.
    """
    try:
        k = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"k = {text!r}: a number such as 1/3 or 0.4 is needed") from None
    require_threshold(k, text)
    return k


def require_threshold(k: float, given: str) -> None:
    """Check a threshold of the gap ratio.

    Raises:
        InputError: it is not in 0 < k ≤ 1; the message quotes the input.
    """
    if not 0 < k <= 1:
        raise InputError(f"k = {given!r}: the gap ratio d1/d2 lies in 0…1, so 0 < k ≤ 1 is needed")


def own_threshold(given: Mapping[str, str]) -> float | None:
    """The threshold in a name (`THRESHOLD`); None for that of the whole study.

    Raises:
        InputError: it is out of range.
    """
    return parse_threshold(given["k"]) if "k" in given else None
