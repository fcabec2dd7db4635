"""How well the curves f_mem(tau) of different n become one curve of tau / n^exponent.

Called by the resolver with the curves of one condition. The common curve is the isotonic regression of all points, so
no form is assumed but that it rises; the score is the part of the variance of f_mem that it explains. In-sample, so it
compares exponents on the same points; it is no test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize_scalar

from orchestrator.timescales import Floats

_RANGE = (-0.5, 2.5)  # of exponents that are tried
_COARSE = 13
_NEAR = 0.5


class Points(NamedTuple):
    """All evaluations of some runs: ln tau, ln n, f_mem and the run's place among the runs, (P,) each."""

    log_tau: Floats
    log_n: Floats
    f_mem: Floats
    run: NDArray[np.int64]


def collapse_score(points: Points, exponent: float) -> float:
    """1 − Σ(f − g(tau/n^exponent))² / Σ(f − <f>)², g rising; NaN where f_mem does not vary."""
    order = np.argsort(points.log_tau - exponent * points.log_n, kind="stable")
    f = points.f_mem[order]
    total = float(((f - f.mean()) ** 2).sum())
    if total == 0:
        return float("nan")
    return 1 - float(((f - isotonic_regression(f).x) ** 2).sum()) / total


def best_exponent(points: Points, near: float | None = None) -> float:
    """The exponent with the largest score, to 0.01.

    Args:
        points: of some runs.
        near: looks within 0.5 of it only, for resamples; by default within −0.5 … 2.5.
    """
    start, step = near, _NEAR
    if start is None:
        grid = np.linspace(*_RANGE, _COARSE)
        step = float(grid[1] - grid[0])
        start = float(grid[np.argmax([collapse_score(points, exponent) for exponent in grid])])
    found = minimize_scalar(
        lambda exponent: -collapse_score(points, exponent),
        bounds=(start - step, start + step),
        method="bounded",
        options={"xatol": 0.01},
    )
    return float(found.x)


def resampled(points: Points, n: Sequence[int], rng: np.random.Generator) -> Points:
    """The points of runs drawn with replacement within each n.

    Args:
        points: of runs 0 … R − 1.
        n: (R,) of these runs.
        rng: source of the draws.
    """
    sizes = np.asarray(n)
    rows = [np.flatnonzero(points.run == run) for run in range(len(sizes))]
    drawn = [rng.choice(np.flatnonzero(sizes == size)) for size in sizes]
    chosen = np.concatenate([rows[run] for run in drawn])
    return Points(*(column[chosen] for column in points))
