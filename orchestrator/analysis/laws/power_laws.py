"""Laws of tau: tau = a·n^alpha of one condition, and tau = a·n^alpha·W^−gamma over widths and optimizers.

Called by the resolver with one crossing per run; knows neither curves nor tables. Runs that did not cross are
censored responses of the regression (`orchestrator.analysis.statistics.censored_regression`): leaving them
out would bias alpha downwards, because they are missing mostly where tau is largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.criteria.first_crossing import LEFT, RIGHT, Floats
from tausweep.orchestrator.analysis.runs.grouping import group_of
from tausweep.orchestrator.analysis.runs.results import Comparison, Diagnostics, Estimate, RunTimescales
from tausweep.orchestrator.analysis.statistics.censored_regression import (
    CensoredFit,
    Responses,
    fit_censored,
    held,
    is_determined,
    p_value,
    profile_interval,
)


class Crossed(NamedTuple):
    """One run and its crossing."""

    run_id: str
    n: int
    W: int
    group: str
    crossing: Crossing


def crossed(runs: Sequence[RunTimescales], criterion: str) -> list[Crossed]:
    """Runs that measured a criterion, with their crossings."""
    return [Crossed(run.run_id, run.n, run.W, group_of(run), run.crossings[criterion]) for run in runs]


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """A fitted law and the runs behind it.

    Unknown values are empty, and `reason` or `interval_note` says why.

    Attributes:
        n_values: distinct n with a crossing, ascending.
        n_points: runs with a crossing.
        censored: ids of the runs without one.
        groups: the groups of runs that crossed; each has its own amplitude, in the order of `amplitudes`.
        exponent: alpha.
        prefactor: c of tau = c·n, for a law of one group and one W.
        width_exponent: gamma.
        comparisons: tests of simpler laws against this one.
        diagnostics: goodness of fit; None without degrees of freedom.
        reason: why there is no fit; None if there is one.
        interval_note: why there is no interval, or what is left out.
    """

    n_values: list[int]
    n_points: int
    censored: list[str]
    groups: list[str]
    amplitudes: list[float] = field(default_factory=list)
    exponent: Estimate = field(default_factory=Estimate)
    prefactor: Estimate = field(default_factory=Estimate)
    width_exponent: Estimate = field(default_factory=Estimate)
    comparisons: list[Comparison] = field(default_factory=list)
    diagnostics: Diagnostics | None = None
    reason: str | None = None
    interval_note: str | None = None

    @property
    def n_censored(self) -> int:
        """Runs without a crossing."""
        return len(self.censored)


class _Design(NamedTuple):
    X: Floats
    responses: Responses
    alpha: int
    gamma: int | None


def responses_of(runs: Sequence[Crossed]) -> Responses:
    """Ln tau of informative runs, or the logarithm of their bounds."""
    codes = {None: 0, "right": RIGHT, "left": LEFT}
    crossings = [run.crossing for run in runs]
    value = np.array([c.tau if c.tau is not None else c.bound for c in crossings], dtype=np.float64)
    return Responses(np.log(value), np.array([codes[c.censored] for c in crossings], dtype=np.int8))


def informative(runs: Sequence[Crossed]) -> list[Crossed]:
    """Runs with a crossing or a bound."""
    return [run for run in runs if run.crossing.tau is not None or run.crossing.bound is not None]


def fit_law(runs: Sequence[Crossed], *, widths: bool, confidence: float) -> LawFit:
    """Fit ln tau = ln a_group + alpha·ln n [− gamma·ln W] + sigma·error.

    Args:
        runs: measured runs, any number; every group has its own amplitude.
        widths: whether gamma is fitted; without it all runs should have one W.
        confidence: of the intervals.
    """
    seen = [run for run in runs if run.crossing.tau is not None]
    groups, W_values = sorted({run.group for run in seen}), sorted({run.W for run in seen})
    law = LawFit(
        n_values=sorted({run.n for run in seen}),
        n_points=len(seen),
        censored=[run.run_id for run in runs if run.crossing.tau is None],
        groups=groups,
    )
    if len(law.n_values) < 2:
        return replace(law, reason=_no_fit(law.n_values, runs))
    # A bound is useless where the law lacks a parameter: of a group, or of W if gamma cannot be fitted.
    one_W = len(W_values) == 1
    known = [r for r in informative(runs) if r.group in groups and (not one_W or r.W in W_values)]
    design = _design(known, groups, widths and not one_W)
    if is_determined(design.X, design.responses):
        law = _estimated(law, design, fit_censored(design.X, design.responses), confidence)
    else:
        law = _interpolated(law, design)
    notes = [law.interval_note, *_left_out(runs, groups, W_values)]
    return replace(law, interval_note="; ".join(filter(None, notes)) or None)


def _left_out(runs: Sequence[Crossed], groups: Sequence[str], W_values: Sequence[int]) -> Iterator[str]:
    if silent := sorted({run.group for run in runs} - set(groups)):
        yield f"left out, as none of their runs was seen to cross: {'; '.join(silent)}"
    if len(W_values) == 1 and (others := sorted({run.W for run in runs} - set(W_values))):
        yield (
            f"no exponent of W: runs were seen to cross at W = {W_values[0]} only, and those of W = "
            f"{', '.join(map(str, others))} are left out"
        )


def _no_fit(n_values: Sequence[int], runs: Sequence[Crossed]) -> str:
    early = sum(run.crossing.censored == "left" for run in runs)
    more = f"; {early} had crossed by the first evaluation" if early else ""
    if n_values:
        return f"a crossing at one n only (n = {n_values[0]}); an exponent needs two{more}"
    return f"none of {len(runs)} runs was seen to cross within its budget{more}"


def _design(runs: Sequence[Crossed], groups: Sequence[str], widths: bool) -> _Design:
    intercepts = np.array([[run.group == group for group in groups] for run in runs], dtype=np.float64)
    columns = [intercepts, np.log([[run.n] for run in runs])]
    if widths:
        columns.append(-np.log([[run.W] for run in runs]))
    X = np.hstack(columns)
    alpha = len(groups)
    return _Design(X, responses_of(runs), alpha, alpha + 1 if widths else None)


def _interpolated(law: LawFit, design: _Design) -> LawFit:
    """With as many crossings as coefficients: the law through them, if it exists, without an interval."""
    X, responses = design.X[design.responses.seen], design.responses
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return replace(
            law,
            reason="n and W change together in the runs that crossed; their exponents cannot be separated",
        )
    beta = np.linalg.lstsq(X, responses.value[responses.seen], rcond=None)[0]
    left_out = " and the censored runs are left out" if not responses.seen.all() else ""
    return replace(
        law,
        exponent=Estimate(estimate=float(beta[design.alpha])),
        width_exponent=Estimate() if design.gamma is None else Estimate(estimate=float(beta[design.gamma])),
        prefactor=Estimate(estimate=_mean_ratio(design)),
        amplitudes=[float(a) for a in np.exp(beta[: len(law.groups)])],
        interval_note=f"no interval: {len(X)} runs crossed, as many as the law has coefficients{left_out}; "
        "give the sweep more seeds",
    )


def _mean_ratio(design: _Design) -> float:
    seen = design.responses.seen
    return float(np.exp(np.mean(design.responses.value[seen] - design.X[seen, design.alpha])))


def _estimated(law: LawFit, design: _Design, fit: CensoredFit, confidence: float) -> LawFit:
    """With more crossings than coefficients: the most likely law, with intervals and tests."""
    X, responses, alpha, gamma = design
    groups = law.groups

    def coefficient(column: int) -> Estimate:
        return _estimate(fit.beta[column], profile_interval(X, responses, fit, column, confidence))

    comparisons = [_held_at(design, fit, alpha, value, f"exponent = {value}") for value in (1, 0)]
    if gamma is not None:
        comparisons.append(_held_at(design, fit, gamma, 1, "width exponent = 1"))
    if len(groups) > 1 and (own := _own_exponents(design, fit, groups)):
        comparisons.append(own)
    freedom = int(responses.seen.sum()) - X.shape[1]
    note = f"{freedom} degree{'s' * (freedom > 1)} of freedom: the interval is wide by Student's t"
    return replace(
        law,
        exponent=coefficient(alpha),
        width_exponent=Estimate() if gamma is None else coefficient(gamma),
        prefactor=_prefactor(design, confidence) if len(groups) == 1 and gamma is None else Estimate(),
        amplitudes=[float(a) for a in np.exp(fit.beta[: len(groups)])],
        comparisons=comparisons,
        diagnostics=_diagnostics(design, fit),
        interval_note=note if freedom < 3 else None,
    )


def _estimate(value: float, bounds: tuple[float | None, float | None]) -> Estimate:
    return Estimate(estimate=float(value), low=bounds[0], high=bounds[1])


def _prefactor(design: _Design, confidence: float) -> Estimate:
    """The prefactor c of tau = c·n: the amplitude with the exponent fixed at 1."""
    X, responses = design.X[:, :1], design.responses.shifted(design.X[:, design.alpha])
    fit = fit_censored(X, responses)
    low, high = profile_interval(X, responses, fit, 0, confidence)
    bounds = (None if low is None else float(np.exp(low)), None if high is None else float(np.exp(high)))
    return _estimate(np.exp(fit.beta[0]), bounds)


def _held_at(design: _Design, fit: CensoredFit, column: int, value: float, hypothesis: str) -> Comparison:
    simpler = held(design.X, design.responses, column, value)
    fall = fit.log_likelihood - simpler.log_likelihood
    rank = design.X.shape[1]
    return _comparison(hypothesis, fall, design, simpler=rank - 1, fuller=rank)


def _own_exponents(design: _Design, fit: CensoredFit, groups: Sequence[str]) -> Comparison | None:
    """Test of one exponent for all groups against one for each; None if a group has too few runs."""
    X, alpha = design.X, design.alpha
    each = X[:, : len(groups)] * X[:, [alpha]]
    fuller = np.hstack([np.delete(X, alpha, axis=1), each])
    if not is_determined(fuller, design.responses):
        return None
    fall = fit_censored(fuller, design.responses).log_likelihood - fit.log_likelihood
    return _comparison("one exponent for all", fall, design, simpler=X.shape[1], fuller=fuller.shape[1])


def _comparison(hypothesis: str, fall: float, design: _Design, *, simpler: int, fuller: int) -> Comparison:
    count = len(design.X)
    of_simpler, of_fuller = (aicc_penalty(rank + 1, count) for rank in (simpler, fuller))
    delta = None if of_simpler is None or of_fuller is None else 2 * fall + of_simpler - of_fuller
    p = p_value(fall, design.responses, fuller, fuller - simpler)
    return Comparison(hypothesis=hypothesis, p_value=p, delta_aicc=delta)


def aicc_penalty(parameters: int, count: int) -> float | None:
    """2K + 2K(K + 1)/(N − K − 1) (Hurvich & Tsai 1989, doi:10.1093/biomet/76.2.297)."""
    spare = count - parameters - 1
    return 2 * parameters + 2 * parameters * (parameters + 1) / spare if spare > 0 else None


def _diagnostics(design: _Design, fit: CensoredFit) -> Diagnostics:
    X, responses = design.X, design.responses
    seen = responses.seen
    residuals = (responses.value[seen] - X[seen] @ fit.beta) / fit.sigma
    log_n = X[:, design.alpha]
    bent = np.column_stack([X, (log_n - log_n.mean()) ** 2])
    freedom = int(seen.sum()) - bent.shape[1]
    curvature = None
    if len(np.unique(log_n[seen])) > 2 and freedom > 3 and is_determined(bent, responses):
        fall = fit_censored(bent, responses).log_likelihood - fit.log_likelihood
        curvature = p_value(fall, responses, bent.shape[1])
    return Diagnostics(
        sigma=fit.sigma, largest_residual=float(np.abs(residuals).max()), curvature_p_value=curvature
    )
