"""The result of the resolver, as values that convert to JSON and back.

The schema is docs/fit-result.schema.json.

The resolver makes it; figures, report and other programs read it. Contains no logic. An unknown number is
None; NaN and infinity are refused. Every estimate has its interval and the number of censored runs beside it.
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
    """A number with its interval; None if unknown, or on a side where the interval is open."""

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
    """A test of a simpler law against the fitted one.

    Attributes:
        hypothesis: the simpler law, such as `exponent = 1`.
        p_value: p of its likelihood-ratio test, an F test where no run is censored.
        delta_aicc: its corrected Akaike criterion minus that of the fitted law, in nats·2; negative favours
            the simpler law. None with too few runs for the correction.
    """

    hypothesis: str
    p_value: float
    delta_aicc: float | None


class Diagnostics(_Value):
    """How well a law fits its runs.

    Attributes:
        sigma: standard deviation of ln tau about the law.
        largest_residual: largest residual of the runs that crossed, in units of sigma.
        curvature_p_value: p of the test that ln tau is straight in ln n; None with fewer than four degrees of
            freedom or three n. A small value means that the exponent depends on n.
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
    covers the spread between seeds and the misfit of the law. It needs two runs more than the law has
    coefficients.

    Attributes:
        criterion: name of the criterion; the exponent means nothing without it.
        settings: further settings that divide the sweep's runs, each as JSON.
        n_values: distinct n with a crossing.
        n_points: runs with a crossing, all seeds.
        n_censored: runs measured but without a crossing; `censored` has their ids.
        reason: why there is no fit; None if there is one.
        interval_note: why there is no interval, or what is left out; None if there is nothing to note.
    """

    exponent: Estimate
    prefactor: Estimate
    amplitude: float | None


class Law(_Counted):
    """The law tau = amplitude · n^exponent · W^−width_exponent over all widths, for one optimizer or all.

    Attributes:
        groups: the groups with their own amplitudes; one group for a law of one optimizer.
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
    """How well the curves f_mem(tau) of all n collapse onto one curve of tau / n^exponent.

    Attributes:
        score: fraction of the variance of f_mem that one rising curve of tau / n explains, 0…1; None with one
            n.
        unscaled: the same with tau itself.
        exponent: the exponent with the largest score, with an interval by resampling the seeds of each n.
        best: the score at this exponent.
    """

    k: float
    score: float | None
    unscaled: float | None
    exponent: Estimate
    best: float | None
    n_values: list[int]
    reason: str | None


class Timescale(_OfCondition):
    """The median over the runs of one condition and n; censored runs may lie anywhere beyond their bounds.

    Attributes:
        tau: median, with an interval by resampling runs and their samples, in which censored runs are the
            latest (or earliest); None if the median depends on where the censored runs lie.
        bound: the median lies at or above it ("right") or at or below it ("left"); None if the median is
            known or unbounded.
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
        images: its number of training images, the mean over the runs.
        others: as in `Timescale`.
    """

    label: int
    images: float


class ClassRegime(_OfCondition):
    """Which classes the runs of one condition and n memorise within their budget.

    If only some, the regime is mixed.

    Attributes:
        memorised: classes whose median timescale was reached.
        not_yet: classes whose median lies beyond the budget. A class for which neither is known is in neither
            list.
    """

    criterion: str
    n: int
    memorised: list[int]
    not_yet: list[int]


class PhasePoint(_OfCondition):
    """What the runs of one condition and n do within a budget.

    `memorises`: at least half of the runs reach the first criterion of tau_mem. `generalises`: fewer do, but
    at least half reach tau_gen. `not yet good`: neither. None: the deciding metric was not measured. Runs
    that ended before the budget without a crossing are not informative and are left out.

    Attributes:
        tau_mem: geometric median over the runs that cross; low if others are censored; None if none does.
        tau_gen: the same for tau_gen.
        budget: tau up to which runs count.
        n_runs: runs that are informative about this budget.
        n_crossed: runs that memorise, including left-censored ones.
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
            outside the measured n, open on a side where the interval does.
        budget: tau.
        n_runs: runs that are informative about this budget; n_memorising of them memorise.
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
        log_likelihood: at the maximum, in nats, for ln tau, so that laws can be compared.
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
    """Competing laws of tau_mem for the runs of one condition, or of all its widths with joint parameters.

    Attributes:
        W_values, p_values: the values of the runs; several for a joint law.
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
    """n*(p) for infinite training: the limit of n*(p; tau), from tau_mem = tau_0 + c·n/(1 − n/n_star).

    Attributes:
        n_star: with profile-likelihood interval; no estimate and no `high` where a law without a line is not
            rejected, since n* may then lie anywhere above `low`.
        converged: whether every law without a line is rejected, n beyond the interval were trained, and the
            boundary no longer moves.
        growth: d ln n*(tau) / d ln tau over the last factor of four in the budget, 1/alpha for a power law
            without a line and 0 for a boundary that no longer moves; None unless n* is known at both ends.
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
    """One run's crossings by name of criterion; a criterion whose curve was not measured has none."""

    run_id: str
    state: str
    n: int
    seed: int
    subset: int
    budget: int
    crossings: dict[str, Crossing]


class FitResult(_Value):
    """The complete result of the resolver for a sweep.

    Attributes:
        k: threshold of the gap ratio for criteria without their own.
        smoothing: smoothing of rising curves before crossings are read.
        confidence: confidence level of all intervals.
        draws, seed: resamples and seed of the bootstrap.
        criteria: names of the criteria; the first decides what memorises in the phase diagram.
        phase_diagram: the phase diagram at the largest measured tau.
        boundaries: the boundaries at every budget of `budgets` up to the last one of each condition.
        sampler: the sampler of the generated samples, as text; None without samples.
        conclusions: what a person would say of it, at most eight sentences.
        competitions: the competing laws for the criteria of tau_mem, per condition, and over several widths.
        by_class: the first criterion of f_mem for each class, and `regimes` of these; empty where f_mem was
            not measured per class.
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
