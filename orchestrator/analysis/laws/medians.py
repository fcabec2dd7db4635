"""The typical timescale of the runs of one condition and n, with an interval over seeds and samples.

Called by the resolver with crossings and their resamples; knows neither curves nor laws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.runs.grouping import by_condition, described
from tausweep.orchestrator.analysis.runs.results import Estimate, RunTimescales, Timescale
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE, Draws
from tausweep.orchestrator.analysis.statistics.bootstrap import interval, median, resample_seeds


def medians(
    runs: Sequence[RunTimescales],
    criteria: Iterable[Criterion],
    drawn: Draws,
    rng: np.random.Generator,
) -> Iterator[Timescale]:
    """A timescale for each criterion, condition and n."""
    for criterion in criteria:
        for group in by_condition(runs, criterion.name):
            for n in sorted({run.n for run in group}):
                yield _median([run for run in group if run.n == n], criterion, drawn, rng)


def _median(
    runs: Sequence[RunTimescales], criterion: Criterion, drawn: Draws, rng: np.random.Generator
) -> Timescale:
    crossings = [run.crossings[criterion.name] for run in runs]
    # The censored runs may lie anywhere beyond their bounds, and the median moves with them.
    lowest, highest = (_bound(crossings, side) for side in ("right", "left"))
    known = lowest is not None and highest is not None and math.isclose(lowest, highest)
    low, high = None, None
    resamples = np.stack([drawn[run.run_id, criterion.name] for run in runs])
    if len(runs) > 1 or len(np.unique(resamples)) > 1:  # otherwise there was nothing to resample
        low, high = interval(median(resample_seeds(resamples, rng)), CONFIDENCE)
    side: Literal["right", "left"] | None = None
    if not known and (lowest is not None or highest is not None):
        side = "left" if lowest is None else "right"
    return Timescale(
        **described(runs[0]),
        criterion=criterion.name,
        quantity=criterion.quantity,
        n=runs[0].n,
        tau=Estimate(estimate=highest if known else None, low=low, high=high),
        censored=side,
        bound={None: None, "right": lowest, "left": highest}[side],
        n_points=sum(crossing.tau is not None for crossing in crossings),
        n_censored=sum(crossing.tau is None for crossing in crossings),
    )


def _bound(crossings: Sequence[Crossing], side: str) -> float | None:
    """Lower ("right") or upper ("left") bound of the median, from the bounds of the runs.

    None if unbounded.
    """
    unknown = -np.inf if side == "right" else np.inf
    known = [crossing.tau if crossing.tau is not None else crossing.bound for crossing in crossings]
    usable = [crossing.censored in (None, side) for crossing in crossings]
    bounds = [
        np.log(tau) if tau is not None and use else unknown for tau, use in zip(known, usable, strict=True)
    ]
    middle = float(median(np.array(bounds)))
    return float(np.exp(middle)) if np.isfinite(middle) else None
