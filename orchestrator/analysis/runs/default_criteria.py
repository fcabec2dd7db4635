"""The default criteria of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from tausweep.jobs.spec.metrics import FRECHET_PCA, SCORE_ERROR, TEST_LOSS, is_quality
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.generalisation import QualityPlateau
from tausweep.orchestrator.analysis.criteria.loss import (
    LossGap,
    LossGapHalfMaximum,
    LossMinimum,
    SpectralTime,
)
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction, MemorisedHalfMaximum
from tausweep.orchestrator.analysis.runs.curves import RunCurves

THRESHOLDS = (1 / 2, 1 / 4)
"""Further thresholds k of the gap ratio at which tau_mem is shown beside the study's own."""


def criteria_for(runs: Sequence[RunCurves]) -> tuple[Criterion, ...]:
    """The criteria that a sweep is resolved with by default.

    f_mem = 0.1 at the study's k and at `THRESHOLDS`; half of f_mem's maximum; loss gap and lowest test loss
    at the middle timestep that all runs measured; the plateau of every measured distance to held-out images.
    Runs without samples have no f_mem; for them half of the loss gap's maximum, the error of the score and
    the spectrum.
    """
    at = [
        {t for name, t in run.metrics if name == TEST_LOSS and t is not None} for run in runs if run.metrics
    ]
    common = sorted(set.intersection(*at)) if at else []
    middle = common[(len(common) - 1) // 2] if common else None
    losses: list[Criterion] = [] if middle is None else [LossGap(t=middle), LossMinimum(t=middle)]
    measured = {name for run in runs for name, t in run.metrics if t is None and is_quality(name)}
    qualities = sorted(measured, key=lambda name: (name == FRECHET_PCA, name))  # a network's features first
    sampled = any(run.histories is not None for run in runs)
    if middle is not None and not sampled and any((SCORE_ERROR, middle) in run.metrics for run in runs):
        return (*losses, LossGapHalfMaximum(t=middle), SpectralTime(quantity="tau_mem", t=middle),
                QualityPlateau(measure=SCORE_ERROR, t=middle), SpectralTime(quantity="tau_gen", t=middle))  # fmt: skip
    own = {run.k for run in runs}
    further = [MemorisedFraction(k=k) for k in THRESHOLDS if k not in own]
    return (
        MemorisedFraction(),
        *further,
        MemorisedHalfMaximum(),
        *losses,
        *(QualityPlateau(measure=name) for name in qualities or [FRECHET_PCA]),
    )
