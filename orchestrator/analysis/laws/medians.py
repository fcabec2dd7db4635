"""The typical timescale of the runs of one condition and n, with an interval over seeds and samples.

Called by the resolver with crossings and their resamples; knows neither curves nor laws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.runs.grouping import by_condition, described
from tausweep.orchestrator.analysis.runs.results import RunTimescales, Timescale
from tausweep.orchestrator.analysis.statistics.bootstrap import interval, median, resample_seeds

Draws = Mapping[tuple[str, str], Floats]
"""(run id, criterion) → (B,) resampled ln tau, ±∞ without a crossing."""


def medians(
    runs: Sequence[RunTimescales],
    criteria: Iterable[Criterion],
    drawn: Draws,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[Timescale]:
    """A timescale for each criterion, condition and n."""
    for criterion in criteria:
        for group in by_condition(runs, criterion.name):
            for n in sorted({run.n for run in group}):
                yield _median([run for run in group if run.n == n], criterion, drawn, confidence, rng)


def _median(
    runs: Sequence[RunTimescales],
    criterion: Criterion,
    drawn: Draws,
    confidence: float,
    rng: np.random.Generator,
) -> Timescale:
    crossings = [run.crossings[criterion.name] for run in runs]
    # What the runs leave open: they may lie anywhere beyond their bounds, and the median moves with them.
    lowest, highest = (_bound(crossings, side) for side in ("right", "left"))
    known = lowest is not None and highest is not None and math.isclose(lowest, highest)
    low, high = None, None
    resamples = np.stack([drawn[run.run_id, criterion.name] for run in runs])
    if len(runs) > 1 or len(np.unique(resamples)) > 1:  # else there was nothing to resample
        low, high = interval(median(resample_seeds(resamples, rng)), confidence)
    side = None if known or (lowest is None and highest is None) else "left" if lowest is None else "right"
    return Timescale.model_validate(
        {
            **described(runs[0]),
            "criterion": criterion.name,
            "quantity": criterion.quantity,
            "n": runs[0].n,
            "tau": {
                "estimate": highest if known else None,
                "low": low,
                "high": high,
            },
            "censored": side,
            "bound": {None: None, "right": lowest, "left": highest}[side],
            "n_points": sum(found.tau is not None for found in crossings),
            "n_censored": sum(found.tau is None for found in crossings),
        }
    )


def _bound(crossings: Sequence[Crossing], side: str) -> float | None:
    """How far down ("right") or up ("left") the median may lie: that of what bounds each run there; None for anywhere."""
    unknown = -np.inf if side == "right" else np.inf
    known = [found.tau if found.tau is not None else found.bound for found in crossings]
    usable = [found.censored in (None, side) for found in crossings]
    bounds = [
        np.log(tau) if tau is not None and use else unknown for tau, use in zip(known, usable, strict=True)
    ]
    middle = float(median(np.array(bounds)))
    return float(np.exp(middle)) if np.isfinite(middle) else None
