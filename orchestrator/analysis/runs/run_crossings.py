"""The crossings of runs, with intervals from resampling their generated samples.

Called by the resolver, for the criteria of the whole sweep and for those of each class; knows neither laws
nor tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Crossing, crossing, extended, monotone
from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.curves import Condition, Curve, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import condition_fields
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.analysis.statistics.bootstrap import fractions, interval, resample_counts

CONFIDENCE = 0.95
"""Of all intervals."""


Draws = Mapping[tuple[str, str], Floats]
"""(run id, criterion) → (B,) resampled ln tau, ±∞ without a crossing."""


def cross_runs(
    measured: MeasuredRuns, options: ResolverOptions, rng: np.random.Generator
) -> tuple[list[RunTimescales], Draws]:
    """The crossings of all runs, and the resamples behind their intervals."""
    timescales, drawn = [], {}
    for run in measured.curves:
        crossings, resamples = crossings_of(run, options, rng)
        timescales.append(_timescales(run, measured.of_run[run.run_id], crossings))
        drawn.update({(run.run_id, name): values for name, values in resamples.items()})
    return timescales, drawn


def crossings_of(
    run: RunCurves, options: ResolverOptions, rng: np.random.Generator
) -> tuple[dict[str, Crossing], dict[str, Floats]]:
    """A run's crossings with their intervals over its samples, and the resampled ln tau behind these.

    Args:
        run: the run with its curves.
        options: the options with the criteria; those whose curve was not measured are left out.
        rng: source of the resamples.

    Returns:
        Crossings by criterion, and (B,) ln tau by criterion, ±∞ without a crossing.
    """
    crossings, resamples = {}, {}
    whole = resample_counts(run.histories.d1.shape[1], options.draws, rng) if run.histories else None
    for criterion in options.criteria:
        curve = run.curve_of(criterion)
        if curve is None:
            continue
        seen = crossing(criterion, curve.tau, _value(curve, criterion, options))
        memorised = run.memorised(criterion)
        if memorised is not None and whole is not None:
            # All criteria on all samples share resamples; those of one class have their own.
            of_all = memorised.shape[1] == whole.shape[1]
            counts = whole if of_all else resample_counts(memorised.shape[1], options.draws, rng)
            values = fractions(memorised, counts)  # (B, T)
            if options.smoothing == "isotonic" and criterion.rises:
                values = monotone(values)
            log_tau = extended(criterion.cross(curve.tau, values))
            low, high = interval(log_tau, CONFIDENCE)
            seen = replace(seen, low=low, high=high)
        else:
            log_tau = np.full(options.draws, seen.log_tau)
        crossings[criterion.name], resamples[criterion.name] = seen, log_tau
    return crossings, resamples


def _value(curve: Curve, criterion: Criterion, options: ResolverOptions) -> Floats:
    return monotone(curve.value) if options.smoothing == "isotonic" and criterion.rises else curve.value


def _timescales(run: RunCurves, condition: Condition, crossings: dict[str, Crossing]) -> RunTimescales:
    return RunTimescales(
        **condition_fields(condition, run.p),
        run_id=run.run_id,
        state=run.state,
        n=run.n,
        seed=run.settings["seed"],
        subset=run.settings["subset"],
        budget=run.budget,
        crossings=crossings,
    )
