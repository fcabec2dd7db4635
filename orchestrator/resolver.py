"""From the store's tables to a FitResult: tau_mem and tau_gen of each run, their power laws in n, a phase diagram.

Called by the command line and the report, which read the tables and write the result; pure, opens no file. Nothing is
filled in: a run that never crossed is censored and named, a fit that cannot be made is null with its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.curves import Condition, RunCurves, conditions, read_curves
from orchestrator.laws import fit_power_law, interval, resample_memorised, resample_runs
from orchestrator.results import Estimate, Fit, FitResult, PhasePoint, RunTimescales, State
from orchestrator.timescales import (
    Criterion,
    Crossing,
    Floats,
    FrechetPlateau,
    LossGap,
    MemorisedFraction,
    MemorisedHalfMaximum,
    crossing,
)

CONFIDENCE = 0.95


def resolve(
    runs: pa.Table,
    metrics: pa.Table,
    neighbours: pa.Table,
    *,
    sweep: str,
    k: float = 1 / 3,
    draws: int = 1000,
    seed: int = 0,
) -> FitResult:
    """Read the timescales and their laws out of a sweep's tables.

    Args:
        runs: one row a run, settings as columns (see `storage.records.runs_table`).
        metrics: rows of `storage.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.schemas.NEIGHBOURS`, the attempt rule applied.
        sweep: its name.
        k: threshold of the gap ratio; f_mem is computed anew from the neighbours.
        draws: bootstrap resamples, at least 1.
        seed: of the bootstrap; the same tables and seed give the same result.
    """
    found = read_curves(runs, metrics, neighbours, k=k)
    of_run, pooled = conditions(found)
    criteria = criteria_for(found)
    timescales = [_timescales(run, of_run[run.run_id], criteria) for run in found]
    rng = np.random.default_rng(seed)
    resampled = {
        run.run_id: resample_memorised(run.histories.memorised, draws, rng) for run in found if run.histories
    }
    members: dict[Condition, list[RunCurves]] = defaultdict(list)
    for run in found:
        members[of_run[run.run_id]].append(run)
    fits = [
        fit
        for condition in sorted(members)
        for criterion in criteria
        if (fit := _fit(members[condition], condition, criterion, resampled, draws, rng))
    ]
    points = [
        _phase_point(condition, [run for run in timescales if run.n == n and of_run[run.run_id] == condition])
        for condition in sorted(members)
        for n in sorted({run.n for run in members[condition]})
    ]
    return FitResult(
        sweep=sweep,
        k=k,
        confidence=CONFIDENCE,
        draws=draws,
        seed=seed,
        criteria=[criterion.name for criterion in criteria],
        fits=fits,
        phase_diagram=points,
        runs=timescales,
        notes=list(_notes(runs, found, pooled, criteria)),
    )


def criteria_for(runs: Sequence[RunCurves]) -> tuple[Criterion, ...]:
    """The criteria that a sweep is resolved with; the loss gap at the middle timestep that all its runs measured."""
    at = [
        {t for name, t in run.metrics if name == "test_loss" and t is not None} for run in runs if run.metrics
    ]
    common = sorted(set.intersection(*at)) if at else []
    gap = [LossGap(t=common[(len(common) - 1) // 2])] if common else []
    return (MemorisedFraction(), MemorisedHalfMaximum(), *gap, FrechetPlateau())


def _described(condition: Condition, p: int) -> dict[str, object]:
    return {
        "W": condition.W,
        "optimizer": condition.optimizer,
        "batch": condition.batch,
        "settings": dict(condition.settings),
        "p": p,
    }


def _timescales(run: RunCurves, condition: Condition, criteria: Iterable[Criterion]) -> RunTimescales:
    return RunTimescales.model_validate(
        {
            **_described(condition, run.p),
            "run_id": run.run_id,
            "state": run.state,
            "n": run.n,
            "seed": run.settings["seed"],
            "subset": run.settings["subset"],
            "budget": run.budget,
            "crossings": {c.name: crossing(c, *curve) for c in criteria if (curve := run.curve_of(c))},
        }
    )


def _fit(
    runs: Sequence[RunCurves],
    condition: Condition,
    criterion: Criterion,
    resampled: dict[str, Floats],
    draws: int,
    rng: np.random.Generator,
) -> Fit | None:
    """One condition's fit; None if no run measured the criterion's curve."""
    measured = [(run, curve) for run in runs if (curve := run.curve_of(criterion))]
    if not measured:
        return None
    n = np.array([run.n for run, _ in measured])
    log_tau = np.array([criterion.cross(*curve).log_tau for _, curve in measured])  # (R,)
    law = fit_power_law(n, log_tau)
    seen = np.isfinite(log_tau)
    n_values = sorted({int(value) for value in n[seen]})
    exponent, prefactor, note = Estimate(), Estimate(), None
    if len(n_values) >= 2:
        if criterion.measure == "f_mem":
            drawn = np.stack(
                [criterion.cross(curve.tau, resampled[run.run_id]).log_tau for run, curve in measured]
            )
        else:
            drawn = np.broadcast_to(log_tau[:, None], (len(n), draws))
        laws = fit_power_law(n, resample_runs(n, drawn, rng))
        varies = criterion.measure == "f_mem" or len(np.unique(n)) < len(n)
        exponent = _estimate(law.exponent, laws.exponent, varies)
        prefactor = _estimate(law.prefactor, laws.prefactor, varies)
        note = _interval_note(n, laws.exponent, varies)
    censored = [run.run_id for (run, _), known in zip(measured, seen, strict=True) if not known]
    return Fit.model_validate(
        {
            **_described(condition, runs[0].p),
            "criterion": criterion.name,
            "quantity": criterion.quantity,
            "exponent": exponent,
            "prefactor": prefactor,
            "amplitude": float(law.amplitude) if len(n_values) >= 2 else None,
            "n_values": n_values,
            "n_points": int(seen.sum()),
            "n_censored": len(censored),
            "censored": censored,
            "reason": None if len(n_values) >= 2 else _no_fit(n_values, len(measured)),
            "interval_note": note,
        }
    )


def _no_fit(n_values: list[int], measured: int) -> str:
    if n_values:
        return f"a crossing at one n only (n = {n_values[0]}); an exponent needs two"
    return f"none of {measured} runs was seen to cross within its budget"


def _estimate(value: Floats, draws: Floats, varies: bool) -> Estimate:
    bounds = interval(draws, CONFIDENCE) if varies else None
    low, high = bounds or (None, None)
    return Estimate(estimate=float(value), low=low, high=high)


def _interval_note(n: NDArray[np.integer], exponents: Floats, varies: bool) -> str | None:
    if not varies:
        return "no interval: one run at each n and no samples to resample; give the sweep more seeds"
    failed = int(np.isnan(exponents).sum())
    missing = f"{failed} of {len(exponents)} resamples have crossings at fewer than two n"
    if interval(exponents, CONFIDENCE) is None:
        return f"no interval: {missing}"
    single = [str(size) for size, count in sorted(Counter(n.tolist()).items()) if count == 1]
    parts = [f"{missing} and are left out"] if failed else []
    if single:
        parts.append(
            f"one run at n = {', '.join(single)}: the spread between seeds there is not in the interval"
        )
    return "; ".join(parts) or None


def _phase_point(condition: Condition, runs: Sequence[RunTimescales]) -> PhasePoint:
    mem = [found for run in runs if (found := run.crossings.get(MemorisedFraction().name))]
    gen = [found for run in runs if (found := run.crossings.get(FrechetPlateau().name))]
    crossed, good = ([found for found in group if found.censored != "right"] for group in (mem, gen))
    state: State | None = None
    if mem and 2 * len(crossed) >= len(mem):
        state = "memorises"
    elif mem and gen:
        state = "generalises" if 2 * len(good) >= len(gen) else "not yet good"
    return PhasePoint.model_validate(
        {
            **_described(condition, runs[0].p),
            "n": runs[0].n,
            "state": state,
            "tau_mem": _geometric_median(crossed),
            "tau_gen": _geometric_median(good),
            "budget": max(run.budget for run in runs),
            "n_runs": len(runs),
            "n_crossed": len(crossed),
        }
    )


def _geometric_median(crossings: Iterable[Crossing]) -> float | None:
    taus = [found.tau for found in crossings if found.tau is not None]
    return float(np.exp(np.median(np.log(taus)))) if taus else None


def _notes(
    runs: pa.Table, found: Sequence[RunCurves], pooled: Sequence[str], criteria: Sequence[Criterion]
) -> Iterable[str]:
    if missing := sorted(set(runs["run_id"].to_pylist()) - {run.run_id for run in found}):
        yield f"no measurement yet from {len(missing)} of {runs.num_rows} runs: {_listed(missing)}"
    for state in sorted({run.state for run in found} - {"succeeded"}):
        ids = [run.run_id for run in found if run.state == state]
        yield f"{len(ids)} {state} runs are used up to their largest tau so far, as their budget: {_listed(ids)}"
    if lost := [run.run_id for run in found if run.histories and not run.histories.whole]:
        yield f"evaluations with fewer samples than the others are left out in: {_listed(lost)}"
    if pooled:
        yield f"changes together with n, so each fit over n is also one over: {', '.join(pooled)}"
    for criterion in criteria:
        if found and (without := [run.run_id for run in found if run.curve_of(criterion) is None]):
            yield f"{criterion.measure} was not measured in {len(without)} runs ({criterion.name}): {_listed(without)}"
    if found and not any(criterion.measure == "loss_gap" for criterion in criteria):
        yield "no timestep has a test_loss in every run: no loss-gap criterion"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
