"""How well the curves f_mem(tau) of different n collapse onto one curve of tau / n^exponent.

Called by the resolver. The common curve is the isotonic regression of all points, so the only assumption is
that it rises. The score is the fraction of the variance of f_mem that it explains. It is in-sample, so it
compares exponents on the same points but is not a test.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize_scalar

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.curves import Condition, Curve, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import condition_fields
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import Collapse, Estimate
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE

_RANGE = (-0.5, 2.5)  # spacing of the tried exponents
_COARSE = 13
_NEAR = 0.5
_SHARE = (
    5  # the interval takes this many times fewer resamples than others, since each is a search over exponents
)


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
        points: points of some runs.
        near: search only within 0.5 of it, for resamples; by default within −0.5 … 2.5.
    """
    start, step = near, _NEAR
    if start is None:
        grid = np.linspace(*_RANGE, _COARSE)
        step = float(grid[1] - grid[0])
        start = float(grid[np.argmax([collapse_score(points, exponent) for exponent in grid])])
    best = minimize_scalar(
        lambda exponent: -collapse_score(points, exponent),
        bounds=(start - step, start + step),
        method="bounded",
        options={"xatol": 0.01},
    )
    return float(best.x)


def resampled(points: Points, n: Sequence[int], rng: np.random.Generator) -> Points:
    """The points of runs drawn with replacement within each n.

    Args:
        points: of runs 0 … R − 1, in this order.
        n: (R,) of these runs.
        rng: source of the draws.
    """
    sizes = np.asarray(n)
    ends = np.searchsorted(points.run, np.arange(len(sizes) + 1))
    rows = [np.arange(first, last) for first, last in itertools.pairwise(ends)]
    alike = {size: np.flatnonzero(sizes == size) for size in set(n)}
    drawn = [rng.choice(alike[size]) for size in n]
    chosen = np.concatenate([rows[run] for run in drawn])
    return Points(*(column[chosen] for column in points))


def collapses(
    measured: MeasuredRuns, options: ResolverOptions, rng: np.random.Generator
) -> Iterator[Collapse]:
    """The collapse of every condition with neighbours.

    Args:
        measured: runs with their curves.
        options: of the sweep, for the threshold of the gap ratio and the resamples.
        rng: source of the resamples.
    """
    members: dict[Condition, list[tuple[RunCurves, Curve]]] = defaultdict(list)
    draws = max(1, options.draws // _SHARE)
    for run in measured.curves:
        if curve := run.f_mem(options.k):
            members[measured.of_run[run.run_id]].append((run, curve))
    for condition in sorted(members):
        own = members[condition]
        sizes = [run.n for run, _ in own]
        points = _points([(run.n, curve) for run, curve in own])
        scores = _scores(points, sizes, draws, rng)
        yield Collapse(
            **condition_fields(condition, own[0][0].p),
            k=options.k,
            score=scores.score,
            unscaled=scores.unscaled,
            exponent=scores.exponent,
            best=scores.best,
            n_values=sorted(set(sizes)),
            reason=scores.reason,
        )


def _points(curves: Sequence[tuple[int, Curve]]) -> Points:
    return Points(
        np.concatenate([np.log(curve.tau) for _, curve in curves]),
        np.concatenate([np.full(len(curve.tau), np.log(n)) for n, curve in curves]),
        np.concatenate([curve.value for _, curve in curves]),
        np.repeat(np.arange(len(curves)), [len(curve.tau) for _, curve in curves]),
    )


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """The scores of a `Collapse`; empty where there is a reason for that."""

    score: float | None = None
    unscaled: float | None = None
    exponent: Estimate = field(default_factory=Estimate)
    best: float | None = None
    reason: str | None = None


def _scores(points: Points, sizes: Sequence[int], draws: int, rng: np.random.Generator) -> _Scores:
    if len(set(sizes)) < 2:
        return _Scores(reason="one n only")
    if np.ptp(points.f_mem) == 0:
        return _Scores(reason=f"f_mem is {points.f_mem[0]:g} at every evaluation")
    best = best_exponent(points)
    low, high = None, None
    if len(sizes) > len(set(sizes)):  # otherwise there are no seeds to resample
        drawn = [best_exponent(resampled(points, sizes, rng), near=best) for _ in range(draws)]
        outer = (1 - CONFIDENCE) / 2
        low, high = (float(bound) for bound in np.quantile(drawn, [outer, 1 - outer]))
    return _Scores(
        score=collapse_score(points, 1.0),
        unscaled=collapse_score(points, 0.0),
        exponent=Estimate(estimate=best, low=low, high=high),
        best=collapse_score(points, best),
    )
