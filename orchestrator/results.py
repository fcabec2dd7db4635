"""What the resolver says about a sweep, as values that go to JSON and back.

Made by the resolver, read by the figures and the report; holds no logic. A number that is not known is None: NaN and
infinity are refused.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.timescales import Crossing, Quantity

FIT_VERSION = 1
State = Literal["memorises", "generalises", "not yet good"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Value):
    """A number with its bootstrap interval; None where there is none."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class _OfCondition(_Value):
    W: int
    optimizer: str
    batch: str
    settings: dict[str, str]
    p: int


class Fit(_OfCondition):
    """The law tau = amplitude · n^exponent and the proportional law tau = prefactor · n of one condition.

    Runs that were not seen to cross are left out of both, which biases the exponent downwards (see
    `orchestrator.laws`); a censored regression comes later. The percentile interval is that of resampling the runs
    at each n and each run's generated samples. On synthetic studies with a spread between seeds of 20 % the 95 %
    interval of the exponent held the truth in 88 % (two seeds at each n), 93 % (three) and 98 % (five) of the cases;
    with one seed only in 63 %, because a single run says nothing about that spread.

    Attributes:
        criterion: name of the criterion; the exponent means nothing without it.
        settings: further settings that divide the sweep's runs, each as JSON.
        n_values: distinct n with a crossing.
        n_points: runs with a crossing, all seeds.
        n_censored: runs measured but without a crossing; `censored` has their ids.
        reason: why there is no fit; None if there is one.
        interval_note: what the interval leaves out, or why there is none; None if nothing is left out.
    """

    criterion: str
    quantity: Quantity
    exponent: Estimate
    prefactor: Estimate
    amplitude: float | None
    n_values: list[int]
    n_points: int
    n_censored: int
    censored: list[str]
    reason: str | None
    interval_note: str | None


class PhasePoint(_OfCondition):
    """What the runs of one condition and n do within their budget.

    `memorises`: at least half of the runs reach the first criterion of tau_mem. `generalises`: fewer do, but at least
    half reach tau_gen. `not yet good`: neither. None: what would decide was not measured.

    Attributes:
        tau_mem: geometric median over the runs that cross; low if others are censored; None if none does.
        tau_gen: the same for tau_gen.
        budget: largest tau measured.
        n_crossed: runs that memorise, those left-censored included.
    """

    n: int
    state: State | None
    tau_mem: float | None
    tau_gen: float | None
    budget: int
    n_runs: int
    n_crossed: int


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
    """All that the resolver knows of a sweep."""

    fit_version: int = FIT_VERSION
    sweep: str
    k: float
    confidence: float
    draws: int
    seed: int
    criteria: list[str]
    fits: list[Fit]
    phase_diagram: list[PhasePoint]
    runs: list[RunTimescales]
    notes: list[str]
