"""Criteria by name: which ones a study is resolved with, and reading them from the words of a user.

Called by the resolver and the command line. A criterion's name says all of it (`f_mem=0.1@k1/2`,
`f_mem_class3=0.1`, `loss_gap=0.1@t150`, `test_loss=min@t150`, `frechet_pca≤1.25·min`), so names are data: they stand in
results, figures and options, and `parse_criterion` turns them back into values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import get_args

from orchestrator.curves import RunCurves
from orchestrator.first_crossing import Quantity
from orchestrator.quality_timescales import QualityLevel, QualityPlateau
from orchestrator.timescales import (
    Criterion,
    LossGap,
    LossGapHalfMaximum,
    LossMinimum,
    MemorisedFraction,
    MemorisedHalfMaximum,
    Smoothing,
    SpectralTime,
)
from storage.errors import InputError, nearest

THRESHOLDS = (1 / 2, 1 / 4)
"""Further thresholds k of the gap ratio at which tau_mem is shown beside the study's own."""

FORMS = ("f_mem=0.1", "f_mem=0.1@k1/2", "f_mem_class3=0.1", "f_mem=half_max", "loss_gap=0.1@t150", "test_loss=min@t150",
         "loss_gap=half_max@t150", "frechet_pca<=1.25*min", "frechet_pca<=0.8", "score_error<=1.25*min@t0.1", "spectral_tau_mem@t0.1")  # fmt: skip
_NUMBER = r"[0-9]*\.?[0-9]+(?:e-?[0-9]+)?"
_K = rf"(?:@k(?P<k>1/[1-9][0-9]*|{_NUMBER}))?"
_PATTERNS = {
    "level": re.compile(rf"f_mem(?:_class(?P<label>0|[1-9][0-9]{{0,5}}))?=(?P<level>{_NUMBER}){_K}"),
    "half": re.compile(rf"f_mem=half_max{_K}"),
    "gap": re.compile(rf"loss_gap=(?P<level>{_NUMBER})@t(?P<t>{_NUMBER})"),
    "minimum": re.compile(rf"test_loss=min@t(?P<t>{_NUMBER})"),
    "half_gap": re.compile(rf"loss_gap=half_max@t(?P<t>{_NUMBER})"),
    "plateau": re.compile(rf"(?P<measure>frechet_\w+|fid)(?:≤|<=)(?P<factor>{_NUMBER})[·*]min"),
    "distance": re.compile(rf"(?P<measure>frechet_\w+|fid)(?:≤|<=)(?P<level>{_NUMBER})"),
    "score": re.compile(rf"(?P<measure>score_error)(?:≤|<=)(?P<factor>{_NUMBER})[·*]min@t(?P<t>{_NUMBER})"),
    "spectral": re.compile(rf"spectral_(?P<quantity>tau_mem|tau_gen)@t(?P<t>{_NUMBER})"),
}


def is_quality(metric: str) -> bool:
    """Whether a metric is a distance between generated and held-out images; "fid" is said of Inception features only.

    Its spread over several sets of held-out images (`_sd`) is none.
    """
    return (metric == "fid" or metric.startswith("frechet_")) and not metric.endswith("_sd")


def parse_criterion(text: str) -> Criterion:
    """A criterion from its name; `<=` and `*` may be written for `≤` and `·`.

    Raises:
        InputError: no criterion has this name, or its number is out of range.
    """
    found = {kind: match for kind, pattern in _PATTERNS.items() if (match := pattern.fullmatch(text.strip()))}
    if not found:
        raise InputError(f"criterion {text!r}: no such criterion; {nearest(text, FORMS)}")
    ((kind, match),) = found.items()
    given = match.groupdict()
    k = parse_threshold(given["k"]) if given.get("k") else None
    if kind in ("level", "gap"):
        level = float(given["level"])
        if level <= 0 or (kind == "level" and level > 1):
            allowed = "f_mem lies in 0…1, a level above 0" if kind == "level" else "a gap above 0"
            raise InputError(f"criterion {text!r}: {allowed} is needed")
        if kind == "gap":
            return LossGap(level=level, t=float(given["t"]))
        label = None if given["label"] is None else int(given["label"])
        return MemorisedFraction(level=level, k=k, label=label)
    if kind == "half":
        return MemorisedHalfMaximum(k=k)
    if kind == "minimum":
        return LossMinimum(t=float(given["t"]))
    if kind == "half_gap":
        return LossGapHalfMaximum(t=float(given["t"]))
    if kind == "spectral":
        quantity: Quantity = "tau_mem" if given["quantity"] == "tau_mem" else "tau_gen"
        return SpectralTime(quantity=quantity, t=float(given["t"]))
    if kind == "distance":
        if not (level := float(given["level"])) > 0:
            raise InputError(f"criterion {text!r}: a distance above 0 is needed")
        return QualityLevel(measure=given["measure"], level=level)
    factor = float(given["factor"])
    if factor <= 1:
        raise InputError(
            f"criterion {text!r}: a factor above 1 is needed, the smallest distance itself is noise"
        )
    t = float(given["t"]) if kind == "score" else None
    return QualityPlateau(measure=given["measure"], factor=factor, t=t)


def parse_threshold(text: str) -> float:
    """A threshold k of the gap ratio, `1/3` or `0.4`.

    Raises:
        InputError: it is no number in 0 < k ≤ 1.
    """
    try:
        k = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"k = {text!r}: a number such as 1/3 or 0.4 is needed") from None
    require_threshold(k, text)
    return k


def require_threshold(k: float, written: str) -> None:
    """Check a threshold of the gap ratio.

    Raises:
        InputError: it is not in 0 < k ≤ 1; the message has it as it was written.
    """
    if not 0 < k <= 1:
        raise InputError(f"k = {written!r}: the gap ratio d1/d2 lies in 0…1, so 0 < k ≤ 1 is needed")


def require_view(k: float, criteria: Sequence[Criterion], smoothing: str) -> None:
    """Check how a sweep is to be looked at.

    Raises:
        InputError: k is out of range, a criterion is given twice, or there is no such smoothing.
    """
    require_threshold(k, f"{k:g}")
    if smoothing not in get_args(Smoothing):
        raise InputError(f"smoothing = {smoothing!r}: {nearest(smoothing, get_args(Smoothing))}")
    names = [criterion.name for criterion in criteria]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"criterion {twice[0]}: is given twice")


def criteria_for(runs: Sequence[RunCurves]) -> tuple[Criterion, ...]:
    """The criteria that a sweep is resolved with by default.

    f_mem = 0.1 at the study's k and at `THRESHOLDS`; half of f_mem's maximum; loss gap and lowest test loss at the middle
    timestep that all runs measured; the plateau of every distance to held-out images that a run measured. Runs that
    generate no samples have no f_mem: then half of the loss gap's maximum, the error of the score and the spectrum.
    """
    at = [
        {t for name, t in run.metrics if name == "test_loss" and t is not None} for run in runs if run.metrics
    ]
    common = sorted(set.intersection(*at)) if at else []
    middle = common[(len(common) - 1) // 2] if common else None
    losses: list[Criterion] = [] if middle is None else [LossGap(t=middle), LossMinimum(t=middle)]
    measured = {name for run in runs for name, t in run.metrics if t is None and is_quality(name)}
    qualities = sorted(measured, key=lambda name: (name == "frechet_pca", name))  # a network's features first
    sampled = any(run.histories is not None for run in runs)
    if middle is not None and not sampled and any(("score_error", middle) in run.metrics for run in runs):
        return (*losses, LossGapHalfMaximum(t=middle), SpectralTime(quantity="tau_mem", t=middle),
                QualityPlateau(measure="score_error", t=middle), SpectralTime(quantity="tau_gen", t=middle))  # fmt: skip
    own = {run.k for run in runs}
    further = [MemorisedFraction(k=k) for k in THRESHOLDS if k not in own]
    return (
        MemorisedFraction(),
        *further,
        MemorisedHalfMaximum(),
        *losses,
        *(QualityPlateau(measure=name) for name in qualities or ["frechet_pca"]),
    )
