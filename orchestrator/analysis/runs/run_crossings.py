"""One run's crossings of criteria, with intervals by resampling its generated samples.

Called by the resolver, for the criteria of the whole sweep and for those of each class; knows neither laws nor tables.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Crossing, Smoothing, crossing, extended, monotone
from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.runs.curves import Condition, Curve, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import condition_fields
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.analysis.statistics.bootstrap import fractions, interval, resample_counts

CONFIDENCE = 0.95
"""Of all intervals."""


def crossings_of(
    run: RunCurves, criteria: Iterable[Criterion], smoothing: Smoothing, draws: int, rng: np.random.Generator
) -> tuple[dict[str, Crossing], dict[str, Floats]]:
    """A run's crossings with their intervals over its samples, and the resampled ln tau behind these.

    Args:
        run: with its curves.
        criteria: those whose curve was not measured are left out.
        smoothing: of rising curves before they are crossed.
        draws: bootstrap resamples B.
        rng: source of the resamples.

    Returns:
        Crossings by criterion, and (B,) ln tau by criterion, ±∞ without a crossing.
    """
    crossings, resamples = {}, {}
    whole = resample_counts(run.histories.d1.shape[1], draws, rng) if run.histories else None
    for criterion in criteria:
        curve = run.curve_of(criterion)
        if curve is None:
            continue
        found = crossing(criterion, curve.tau, _smooth(curve, criterion, smoothing))
        memorised = run.memorised(criterion)
        if memorised is not None and whole is not None:
            # The same resamples for all criteria of all samples; those of one class have their own.
            of_all = memorised.shape[1] == whole.shape[1]
            counts = whole if of_all else resample_counts(memorised.shape[1], draws, rng)
            values = fractions(memorised, counts)  # (B, T)
            if smoothing == "isotonic" and criterion.rises:
                values = monotone(values)
            log_tau = extended(criterion.cross(curve.tau, values))
            low, high = interval(log_tau, CONFIDENCE)
            found = Crossing(found.tau, found.censored, found.bound, low, high)
        else:
            log_tau = np.full(draws, found.log_tau)
        crossings[criterion.name], resamples[criterion.name] = found, log_tau
    return crossings, resamples


def _smooth(curve: Curve, criterion: Criterion, smoothing: Smoothing) -> Floats:
    return monotone(curve.value) if smoothing == "isotonic" and criterion.rises else curve.value


def timescales_of(run: RunCurves, condition: Condition, crossings: dict[str, Crossing]) -> RunTimescales:
    """A run's crossings as a value of the result."""
    return RunTimescales.model_validate(
        {
            **condition_fields(condition, run.p),
            "run_id": run.run_id,
            "state": run.state,
            "n": run.n,
            "seed": run.settings["seed"],
            "subset": run.settings["subset"],
            "budget": run.budget,
            "crossings": crossings,
        }
    )
