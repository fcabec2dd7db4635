"""What the resolver says about a sweep, as values that go to JSON and back.

The schema is docs/fit-result.schema.json.

Made by the resolver, read by figures, report and whoever builds on it; holds no logic. A number that is not
known is None: NaN and infinity are refused. Every estimate stands beside its interval and the number of
censored runs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tausweep.orchestrator.analysis.criteria.crossing import Crossing, Smoothing
from tausweep.orchestrator.analysis.criteria.first_crossing import Quantity
from tausweep.orchestrator.analysis.runs.curves import WidthAxis

FIT_VERSION = 3
"""Raised when a field is taken away or changes its meaning; new fields may come without."""
State = Literal["memorises", "generalises", "not yet good"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Value):
    """A number with its interval; None where there is none, or on a side where the interval is open."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class _OfSettings(_Value):
    optimizer: str
    batch: str
    settings: dict[str, str]


class _OfCondition(_OfSettings):
    W: int
    width_axis: WidthAxis = "W"
    p: int


class Comparison(_Value):
    """A simpler law against the fitted one.

    Attributes:
        hypothesis: of the simpler law, such as `exponent = 1`.
        p_value: of its likelihood-ratio test, an F test where no run is censored.
        delta_aicc: its corrected Akaike criterion minus that of the fitted law, in nats·2; negative favours
            the simpler law. None where there are too few runs for the correction.
    """

    hypothesis: str
    p_value: float
    delta_aicc: float | None


class Diagnostics(_Value):
    """Whether a law fits its runs.

    Attributes:
        sigma: standard deviation of ln tau about the law.
        largest_residual: of the runs seen to cross, in units of sigma.
        curvature_p_value: of the test that ln tau is straight in ln n; None with fewer than four degrees of
            freedom or three n. Small: the exponent depends on n.
    """

    sigma: float
    largest_residual: float
    curvature_p_value: float | None


class _Counted(_Value):
    criterion: str
    quantity: Quantity
    n_values: list[int]
    n_points: int
    n_censored: int
    censored: list[str]
    reason: str | None
    interval_note: str | None
    comparisons: list[Comparison]
    diagnostics: Diagnostics | None


class Fit(_OfCondition, _Counted):
    """The law tau = amplitude · n^exponent and the proportional law tau = prefactor · n of one condition.

    Maximum likelihood of log-normal tau in which runs that did not cross count as censored at their bound,
    with profile-likelihood intervals (`orchestrator.analysis.statistics.censored_regression`). The interval
    holds the spread between seeds and what the law itself does not describe; it needs two runs more than the
    law has coefficients.

    Attributes:
        criterion: name of the criterion; the exponent means nothing without it.
        settings: further settings that divide the sweep's runs, each as JSON.
        n_values: distinct n with a crossing.
        n_points: runs with a crossing, all seeds.
        n_censored: runs measured but without a crossing; `censored` has their ids.
        reason: why there is no fit; None if there is one.
        interval_note: why there is no interval, or what is left out; None if there is nothing to say.
    """

    exponent: Estimate
    prefactor: Estimate
    amplitude: float | None


class Law(_Counted):
    """The law tau = amplitude · n^exponent · W^−width_exponent over all widths, of one optimizer or of all of them.

    Attributes:
        groups: what has an amplitude of its own; one for a law of one optimizer.
        amplitudes: of these groups, in their order; tau at n = W = 1.
        width_exponent: gamma; empty where only one W crossed.
        others: as in `Fit`.
    """

    groups: list[str]
    amplitudes: list[float]
    exponent: Estimate
    width_exponent: Estimate
    W_values: list[int]


class Collapse(_OfCondition):
    """How well the curves f_mem(tau) of all n become one curve of tau / n^exponent.

    Attributes:
        score: fraction of the variance of f_mem that one rising curve of tau / n explains, 0…1; None with one
            n.
        unscaled: the same with tau itself.
        exponent: with which the score is largest, with an interval by resampling the seeds of each n.
        best: the score there.
    """

    k: float
    score: float | None
    unscaled: float | None
    exponent: Estimate
    best: float | None
    n_values: list[int]
    reason: str | None


class Timescale(_OfCondition):
    """The median over the runs of one condition and n; censored ones may lie anywhere beyond their bounds.

    Attributes:
        tau: median, with an interval by resampling runs and their samples, in which censored ones are the
            latest (or earliest); the median is None if it moves with where the censored runs lie.
        bound: the median lies at or above it ("right") or at or below it ("left"); None if it is known, or
            anywhere.
        n_points, n_censored: runs with a crossing, and without.
    """

    criterion: str
    quantity: Quantity
    n: int
    tau: Estimate
    censored: Literal["right", "left"] | None
    bound: float | None
    n_points: int
    n_censored: int


class ClassTimescale(Timescale):
    """The timescale of the samples of one class.

    Attributes:
        label: the class.
        images: training images of it, the mean over the runs.
        others: as in `Timescale`.
    """

    label: int
    images: float


class ClassRegime(_OfCondition):
    """Which classes the runs of one condition and n memorise within their budget.

    A mixed regime if only some.

    Attributes:
        memorised: classes whose median timescale was reached.
        not_yet: classes whose median lies beyond the budget. A class of which neither is known is in neither
            list.
    """

    criterion: str
    n: int
    memorised: list[int]
    not_yet: list[int]


class PhasePoint(_OfCondition):
    """What the runs of one condition and n do within a budget.

    `memorises`: at least half of the runs reach the first criterion of tau_mem. `generalises`: fewer do, but
    at least half reach tau_gen. `not yet good`: neither. None: what would decide was not measured. Runs that
    ended before the budget without a crossing say nothing about it and are left out.

    Attributes:
        tau_mem: geometric median over the runs that cross; low if others are censored; None if none does.
        tau_gen: the same for tau_gen.
        budget: tau up to which runs count.
        n_runs: runs that say whether they memorise within it.
        n_crossed: runs that memorise, those left-censored included.
    """

    n: int
    state: State | None
    tau_mem: float | None
    tau_gen: float | None
    budget: int
    n_runs: int
    n_crossed: int


class Boundary(_OfCondition):
    """n*(p; budget): the n at which half of the runs memorise within the budget, of one condition.

    Attributes:
        n_star: median and interval of the posterior of a logistic fit in ln n; None where the median lies
            outside the n that were measured, open on a side where the interval does.
        budget: tau.
        n_runs: runs that say something about this budget; n_memorising of them memorise.
        reason: why there is no estimate.
    """

    criterion: str
    budget: int
    n_star: Estimate
    n_runs: int
    n_memorising: int
    reason: str | None


class CompetingFit(_Value):
    """One of several laws fitted to the same runs.

    Attributes:
        law: its formula, such as `tau_0 + c·n/(1 − n/n*)`.
        has_line: whether tau is infinite from some n on.
        parameters: by name, with profile-likelihood intervals; open on a side where no value is rejected.
        sigma: standard deviation of ln tau about the law.
        log_likelihood: at the maximum, in nats; of ln tau, so that the laws compare.
        aicc: corrected Akaike criterion.
        delta_aicc: above the smallest of these laws.
        rejected: whether delta_aicc is above 6, a likelihood of less than 1/20 of that of the best.
        reason: why there is no fit; None if there is one.
    """

    law: str
    has_line: bool
    parameters: dict[str, Estimate] = {}
    sigma: float | None = None
    log_likelihood: float | None = None
    aicc: float | None = None
    delta_aicc: float | None = None
    rejected: bool = False
    reason: str | None = None


class Competition(_OfSettings):
    """Laws of tau_mem that compete for the same runs: of one condition, or of all widths of it with parameters in common.

    Attributes:
        W_values, p_values: of the runs; several for a joint law.
        n_points, n_censored: runs with a crossing, and without.
        laws: best first, those that could not be fitted last.
        verdict: in a sentence, which law describes the runs and which are rejected.
    """

    W_values: list[int]
    p_values: list[int]
    width_axis: WidthAxis = "W"
    criterion: str
    n_points: int
    n_censored: int
    laws: list[CompetingFit]
    verdict: str


class ArchitecturalLine(_OfCondition):
    """n*(p) without end of training: the limit of n*(p; tau), from tau_mem = tau_0 + c·n/(1 − n/n_star).

    Attributes:
        n_star: with profile-likelihood interval; no estimate and no `high` where a law without a line is not
            rejected, so that n* may lie anywhere above `low`.
        converged: whether every law without a line is rejected, n beyond the interval were trained, and the
            boundary no longer moves.
        growth: d ln n*(tau) / d ln tau over the last factor of four in the budget, 1/alpha for a power law
            without a line and 0 for a boundary that no longer moves; None where n* is not known at both ends.
        verdict: in words.
    """

    criterion: str
    n_star: Estimate
    converged: bool
    growth: float | None
    n_points: int
    n_censored: int
    verdict: str


class RunTimescales(_OfCondition):
    """One run's crossings by the name of the criterion; a criterion whose curve was not measured has none."""

    run_id: str
    state: str
    n: int
    seed: int
    subset: int
    budget: int
    crossings: dict[str, Crossing]


class FitResult(_Value):
    """All that the resolver knows of a sweep.

    Attributes:
        k: threshold of the gap ratio for criteria that name none.
        smoothing: of rising curves before they are crossed.
        confidence: of all intervals.
        draws, seed: of the bootstrap.
        criteria: by name, the first decides what memorises in the phase diagram.
        phase_diagram: at the largest tau that was measured.
        boundaries: at every budget of `budgets`.
        sampler: by which generated samples were drawn, in words; None if none were.
        conclusions: what a person would say of it, at most eight sentences.
        competitions: of the criteria of tau_mem, by condition, and over the widths where there are several.
        by_class: the first criterion of f_mem for each class, and `regimes` of these; empty where f_mem was
            not measured by class.
    """

    fit_version: int = FIT_VERSION
    sweep: str
    k: float
    smoothing: Smoothing
    confidence: float
    draws: int
    seed: int
    criteria: list[str]
    fits: list[Fit]
    laws: list[Law]
    collapses: list[Collapse]
    timescales: list[Timescale]
    phase_diagram: list[PhasePoint]
    budgets: list[int]
    boundaries: list[Boundary]
    lines: list[ArchitecturalLine]
    competitions: list[Competition]
    by_class: list[ClassTimescale] = []
    regimes: list[ClassRegime] = []
    runs: list[RunTimescales]
    notes: list[str]
    sampler: str | None = None
    conclusions: list[str] = []
