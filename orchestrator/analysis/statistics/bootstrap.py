"""Bootstrap of a run's generated samples and of a sweep's seeds, for intervals of timescales.

Called by the resolver; knows neither tables nor laws. A crossing outside the evaluated range is ±∞, so that
quantiles keep their order and an interval that leaves this range is open on that side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats


def resample_counts(samples: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of S samples occurs in each of B resamples of size S: (B, S), rows sum to S."""
    chosen = rng.integers(samples, size=(draws, samples)) + samples * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * samples).reshape(draws, samples)


def fractions(memorised: NDArray[np.bool_], counts: NDArray[np.integer]) -> Floats:
    """f_mem when sample s counts counts[b, s] times: (T, S), (B, S) → (B, T).

    A sample keeps its seed along tau, so the resampled unit is its whole history.
    """
    # Integers up to the division, so that a resample exactly at a level is not rounded below it.
    weights = counts.astype(np.float64)
    result: Floats = (weights @ memorised.T.astype(np.float64)) / weights.sum(axis=1, keepdims=True)
    return result


def resample_seeds(log_tau: Floats, rng: np.random.Generator) -> Floats:
    """Draw runs of one n with replacement, each with a random one of its own resampled ln tau.

    Args:
        log_tau: (R, B) ln tau of run r in resample b of its generated samples, ±∞ without a crossing.
        rng: source of the draws.

    Returns:
        (R, B) ln tau of the R runs of B resampled studies.
    """
    runs, draws = log_tau.shape
    # A run drawn twice gets two independent resamples of its samples.
    picked: Floats = log_tau[rng.integers(runs, size=(runs, draws)), rng.integers(draws, size=(runs, draws))]
    return picked


def median(log_tau: Floats) -> Floats:
    """Median over the first axis of values that may be ±∞; +∞ where half or more are."""
    ordered = np.sort(log_tau, axis=0)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    # −∞ and +∞ in the middle: half are early and half late, and nothing is known about the middle.
    with np.errstate(invalid="ignore"):
        middle: Floats = np.where(np.isneginf(low) & np.isposinf(high), np.nan, (low + high) / 2)
    return middle


def interval(draws: Floats, confidence: float) -> tuple[float | None, float | None]:
    """Percentile interval of draws of ln tau, as tau; None on a side where it is open.

    The quantiles are order statistics, since ±∞ cannot be interpolated.
    """
    known = draws[~np.isnan(draws)]
    if not len(known):
        return None, None
    outer = (1 - confidence) / 2
    low, high = np.quantile(known, [outer, 1 - outer], method="inverted_cdf")
    return (
        float(np.exp(low)) if np.isfinite(low) else None,
        float(np.exp(high)) if np.isfinite(high) else None,
    )
