"""Power laws of tau against n, with bootstrap intervals.

Called by the resolver with one logarithm of tau a run; knows neither tables nor criteria. Runs whose crossing was not
seen are dropped: right-censored ones are missing mostly at large n and left-censored ones at small n, so both bias the
exponent downwards. A censored regression will replace this; until then each fit names the runs it dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.timescales import Floats


class PowerLaw(NamedTuple):
    """Least squares of ln tau on ln n; NaN where fewer than two distinct n have a crossing.

    Attributes:
        exponent: (...,) a in tau = amplitude · n^a.
        amplitude: (...,) tau of that law at n = 1.
        prefactor: (...,) c in tau = c · n, the slope held at 1.
    """

    exponent: Floats
    amplitude: Floats
    prefactor: Floats


def fit_power_law(n: NDArray[np.integer], log_tau: Floats) -> PowerLaw:
    """Fit many sets of runs at once, every run with weight one.

    exponent = Σ (ln n − <ln n>)(ln tau − <ln tau>) / Σ (ln n − <ln n>)²; ln prefactor = <ln tau − ln n>.

    Args:
        n: (R,) training-set sizes.
        log_tau: (..., R) ln tau; NaN for a run without a crossing.
    """
    seen = np.isfinite(log_tau)
    x = np.where(seen, np.log(n), 0.0)
    y = np.where(seen, log_tau, 0.0)
    smallest = np.where(seen, n, np.iinfo(np.int64).max).min(axis=-1, initial=np.iinfo(np.int64).max)
    defined = smallest < np.where(seen, n, 0).max(axis=-1, initial=0)
    count = np.where(defined, seen.sum(axis=-1), np.nan)
    x_mean, y_mean = x.sum(axis=-1) / count, y.sum(axis=-1) / count
    dx = np.where(seen, x - x_mean[..., None], 0.0)
    dy = np.where(seen, y - y_mean[..., None], 0.0)
    spread = np.where(defined, (dx**2).sum(axis=-1), np.nan)
    exponent = (dx * dy).sum(axis=-1) / spread
    return PowerLaw(exponent, np.exp(y_mean - exponent * x_mean), np.exp(y_mean - x_mean))


def resample_memorised(memorised: NDArray[np.bool_], draws: int, rng: np.random.Generator) -> Floats:
    """f_mem of bootstrap resamples of the generated samples, drawn jointly for all tau of a run.

    A sample keeps its seed along tau, so the resampled unit is its whole history. Samples with the same history are
    interchangeable: drawing how often each distinct history occurs is the same resampling, with fewer columns.

    Args:
        memorised: (T, S) whether sample s is memorised at each tau.
        draws: number of resamples.
        rng: source of the draws.

    Returns:
        (draws, T) fractions in 0…1.
    """
    histories, counts = np.unique(memorised, axis=1, return_counts=True)  # (T, U), (U,)
    samples = memorised.shape[1]
    return fractions(histories, rng.multinomial(samples, counts / samples, size=draws))


def fractions(memorised: NDArray[np.bool_], counts: NDArray[np.integer]) -> Floats:
    """f_mem when sample s counts counts[b, s] times: (T, S), (B, S) → (B, T)."""
    # Whole numbers up to the division, so that a resample that sits on a level is not rounded below it.
    result: Floats = (counts @ memorised.T.astype(np.float64)) / counts.sum(axis=1, keepdims=True)
    return result


def resample_runs(n: NDArray[np.integer], log_tau: Floats, rng: np.random.Generator) -> Floats:
    """Resample runs with replacement within each n, each with a random one of its own resampled ln tau.

    Args:
        n: (R,) training-set sizes.
        log_tau: (R, B) ln tau of run r in resample b of its generated samples; NaN without a crossing.
        rng: source of the draws.

    Returns:
        (B, R) ln tau of B resampled studies; column r keeps the n of run r.
    """
    runs, draws = log_tau.shape
    chosen = np.empty((draws, runs), dtype=np.int64)
    for size in np.unique(n):
        rows = np.flatnonzero(n == size)
        chosen[:, rows] = rng.choice(rows, size=(draws, len(rows)))
    # A run chosen twice gets two independent resamples of its samples.
    picked: Floats = log_tau[chosen, rng.integers(draws, size=(draws, runs))]
    return picked


def interval(draws: Floats, confidence: float) -> tuple[float, float] | None:
    """Percentile interval of the draws that have a value; None where fewer than half have one."""
    known = draws[np.isfinite(draws)]
    if 2 * len(known) < len(draws):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
