"""The typical timescale of the runs of one condition and n, with an interval over seeds and samples.

Called by the resolver with crossings and their resamples; knows neither curves nor laws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from orchestrator.bootstrap import interval, median, resample_seeds
from orchestrator.grouping import by_condition, described
from orchestrator.results import RunTimescales, Timescale
from orchestrator.timescales import Criterion, Crossing, Floats

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
    middle = float(median(np.array([found.log_tau for found in crossings])))
    low, high = None, None
    if len(runs) > 1 or criterion.measure == "f_mem":  # else there is nothing to resample
        resamples = np.stack([drawn[run.run_id, criterion.name] for run in runs])
        low, high = interval(median(resample_seeds(resamples, rng)), confidence)
    side = None if np.isfinite(middle) else "right" if middle > 0 else "left" if middle < 0 else None
    return Timescale.model_validate(
        {
            **described(runs[0]),
            "criterion": criterion.name,
            "quantity": criterion.quantity,
            "n": runs[0].n,
            "tau": {
                "estimate": float(np.exp(middle)) if np.isfinite(middle) else None,
                "low": low,
                "high": high,
            },
            "censored": side,
            "bound": _bound(crossings, side) if side else None,
            "n_points": sum(found.tau is not None for found in crossings),
            "n_censored": sum(found.tau is None for found in crossings),
        }
    )


def _bound(crossings: Sequence[Crossing], side: str) -> float | None:
    """The median of what each run bounds tau by bounds their median."""
    unknown = -np.inf if side == "right" else np.inf
    known = [found.tau if found.tau is not None else found.bound for found in crossings]
    usable = [found.censored in (None, side) for found in crossings]
    bounds = [
        np.log(tau) if tau is not None and use else unknown for tau, use in zip(known, usable, strict=True)
    ]
    middle = float(median(np.array(bounds)))
    return float(np.exp(middle)) if np.isfinite(middle) else None
