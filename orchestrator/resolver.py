"""From the store's tables to a FitResult: timescales of each run, their laws, the phase diagram and its boundary.

Called by the command line, the report and `orchestrator.api`, which read the tables and write the result; pure, opens no
file. Nothing is filled in: a run that never crossed is censored and named, a fit that cannot be made is null with its
reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.architectural_line import lines
from orchestrator.bootstrap import fractions, interval, resample_counts
from orchestrator.collapse import Points, best_exponent, collapse_score, resampled
from orchestrator.criteria import criteria_for
from orchestrator.curves import Condition, Curve, RunCurves, conditions, read_curves
from orchestrator.grouping import by_condition, condition_of, described, group_of
from orchestrator.laws import crossed, fit_law
from orchestrator.medians import medians
from orchestrator.phase_diagram import boundaries, budgets_of, phase_points
from orchestrator.results import (
    Collapse,
    Estimate,
    Fit,
    FitResult,
    Law,
    RunTimescales,
)
from orchestrator.timescales import Criterion, Crossing, Floats, Smoothing, crossing, extended, monotone

CONFIDENCE = 0.95
_COLLAPSE_SHARE = (
    5  # the interval of a collapse takes so many times fewer resamples; each is a search over exponents
)


def resolve(
    runs: pa.Table,
    metrics: pa.Table,
    neighbours: pa.Table,
    *,
    sweep: str,
    k: float = 1 / 3,
    criteria: Sequence[Criterion] | None = None,
    smoothing: Smoothing = "none",
    draws: int = 500,
    seed: int = 0,
) -> FitResult:
    """Read the timescales and their laws out of a sweep's tables.

    Args:
        runs: one row a run, settings as columns (see `storage.records.runs_table`).
        metrics: rows of `storage.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.schemas.NEIGHBOURS`, the attempt rule applied.
        sweep: its name.
        k: threshold of the gap ratio where a criterion has none; f_mem is computed anew from the neighbours.
        criteria: by default `orchestrator.criteria.criteria_for`.
        smoothing: "isotonic" replaces f_mem and the loss gap by their nearest rising curves first.
        draws: bootstrap resamples, at least 1.
        seed: of the bootstrap; the same tables and seed give the same result.
    """
    found = read_curves(runs, metrics, neighbours, k=k)
    of_run, pooled = conditions(found)
    chosen = tuple(criteria) if criteria else criteria_for(found)
    rng = np.random.default_rng(seed)
    timescales, drawn = [], {}
    for run in found:
        crossings, resamples = _crossings(run, chosen, smoothing, draws, rng)
        timescales.append(_timescales(run, of_run[run.run_id], crossings))
        drawn.update({(run.run_id, name): values for name, values in resamples.items()})
    members: dict[Condition, list[RunCurves]] = defaultdict(list)
    for run in found:
        members[of_run[run.run_id]].append(run)
    main = {
        quantity: next((c.name for c in chosen if c.quantity == quantity), "")
        for quantity in ("tau_mem", "tau_gen")
    }
    budgets = budgets_of(timescales, main["tau_mem"])
    bounds = [b for budget in budgets for b in boundaries(timescales, main["tau_mem"], budget, CONFIDENCE)]
    return FitResult(
        sweep=sweep,
        k=k,
        smoothing=smoothing,
        confidence=CONFIDENCE,
        draws=draws,
        seed=seed,
        criteria=[criterion.name for criterion in chosen],
        fits=list(_fits(timescales, chosen)),
        laws=list(_laws(timescales, chosen)),
        collapses=[
            _collapse(members[c], c, k, max(1, draws // _COLLAPSE_SHARE), rng)
            for c in sorted(members)
            if any(r.histories for r in members[c])
        ],
        timescales=list(medians(timescales, chosen, drawn, CONFIDENCE, rng)),
        phase_diagram=phase_points(timescales, main["tau_mem"], main["tau_gen"]),
        budgets=budgets,
        boundaries=bounds,
        lines=list(lines(timescales, main["tau_mem"], bounds, CONFIDENCE)),
        runs=timescales,
        notes=list(_notes(runs, found, pooled, chosen)),
    )


def _described(condition: Condition, p: int) -> dict[str, Any]:
    return {
        "W": condition.W,
        "optimizer": condition.optimizer,
        "batch": condition.batch,
        "settings": dict(condition.settings),
        "p": p,
    }


def _crossings(
    run: RunCurves, criteria: Iterable[Criterion], smoothing: Smoothing, draws: int, rng: np.random.Generator
) -> tuple[dict[str, Crossing], dict[str, Floats]]:
    """A run's crossings with their intervals over its samples, and the resampled ln tau behind these."""
    crossings, resamples = {}, {}
    counts = resample_counts(run.histories.d1.shape[1], draws, rng) if run.histories else None
    for criterion in criteria:
        curve = run.curve_of(criterion)
        if curve is None:
            continue
        found = crossing(criterion, curve.tau, _smooth(curve, criterion, smoothing))
        if criterion.measure == "f_mem" and run.histories and counts is not None:
            memorised = run.histories.memorised(getattr(criterion, "k", None) or run.k)
            values = fractions(memorised, counts)  # (B, T)
            if smoothing == "isotonic" and criterion.rises:
                values = monotone(values)
            log_tau = extended(criterion.cross(curve.tau, values))
            low, high = interval(log_tau, CONFIDENCE)
            found = Crossing(found.tau, found.censored, found.bound, low, high)
        else:
            log_tau = np.full(draws, found.log_tau)
        crossings[criterion.name], resamples[criterion.name] = found, log_tau
    return crossings, resamples


def _smooth(curve: Curve, criterion: Criterion, smoothing: Smoothing) -> Floats:
    return monotone(curve.value) if smoothing == "isotonic" and criterion.rises else curve.value


def _timescales(run: RunCurves, condition: Condition, crossings: dict[str, Crossing]) -> RunTimescales:
    return RunTimescales.model_validate(
        {
            **_described(condition, run.p),
            "run_id": run.run_id,
            "state": run.state,
            "n": run.n,
            "seed": run.settings["seed"],
            "subset": run.settings["subset"],
            "budget": run.budget,
            "crossings": crossings,
        }
    )


def _fits(runs: Sequence[RunTimescales], criteria: Iterable[Criterion]) -> Iterator[Fit]:
    """A law over n for every condition and criterion."""
    order = {criterion.name: place for place, criterion in enumerate(criteria)}
    by_name = {criterion.name: criterion for criterion in criteria}
    groups = [(condition_of(g[0]), order[name], name, g) for name in order for g in by_condition(runs, name)]
    for _, _, name, group in sorted(groups, key=lambda found: found[:2]):
        law = fit_law(crossed(group, name), widths=False, confidence=CONFIDENCE)
        amplitudes = law.pop("amplitudes")
        del law["groups"], law["width_exponent"]
        yield Fit.model_validate(
            {
                **described(group[0]),
                **law,
                "criterion": name,
                "quantity": by_name[name].quantity,
                "amplitude": amplitudes[0] if amplitudes else None,
            }
        )


def _laws(runs: Sequence[RunTimescales], criteria: Iterable[Criterion]) -> Iterator[Law]:
    """Laws over widths, for each optimizer and for all together; none where there is one condition only."""
    for criterion in criteria:
        measured = [run for run in runs if criterion.name in run.crossings]
        groups = sorted({group_of(run) for run in measured})
        chosen = [[run for run in measured if group_of(run) == group] for group in groups]
        chosen = [group for group in chosen if len({run.W for run in group}) > 1]
        if len(groups) > 1:
            chosen.append(measured)
        for members in chosen:
            law = fit_law(crossed(members, criterion.name), widths=True, confidence=CONFIDENCE)
            del law["prefactor"]
            widths = sorted({run.W for run in members})
            head = {"criterion": criterion.name, "quantity": criterion.quantity, "W_values": widths}
            yield Law.model_validate({**head, **law})


def _collapse(
    runs: Sequence[RunCurves], condition: Condition, k: float, draws: int, rng: np.random.Generator
) -> Collapse:
    curves = [(run.n, curve) for run in runs if (curve := run.f_mem(k))]
    sizes = [n for n, _ in curves]
    points = Points(
        np.concatenate([np.log(curve.tau) for _, curve in curves]),
        np.concatenate([np.full(len(curve.tau), np.log(n)) for n, curve in curves]),
        np.concatenate([curve.value for _, curve in curves]),
        np.repeat(np.arange(len(curves)), [len(curve.tau) for _, curve in curves]),
    )
    found: dict[str, Any] = {**_described(condition, runs[0].p), "k": k, "n_values": sorted(set(sizes))}
    reason = None
    if len(found["n_values"]) < 2:
        reason = "one n only"
    elif np.ptp(points.f_mem) == 0:
        reason = f"f_mem is {points.f_mem[0]:g} at every evaluation"
    found |= {"score": None, "unscaled": None, "exponent": Estimate(), "best": None, "reason": reason}
    if reason is None:
        best = best_exponent(points)
        low, high = None, None
        if len(sizes) > len(found["n_values"]):  # else there are no seeds to resample
            drawn = [best_exponent(resampled(points, sizes, rng), near=best) for _ in range(draws)]
            outer = (1 - CONFIDENCE) / 2
            low, high = (float(bound) for bound in np.quantile(drawn, [outer, 1 - outer]))
        found |= {
            "score": collapse_score(points, 1.0),
            "unscaled": collapse_score(points, 0.0),
            "exponent": Estimate(estimate=best, low=low, high=high),
            "best": collapse_score(points, best),
        }
    return Collapse.model_validate(found)


def _notes(
    runs: pa.Table, found: Sequence[RunCurves], pooled: Sequence[str], criteria: Sequence[Criterion]
) -> Iterator[str]:
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
        yield "no loss-gap criterion: none was asked for, or no timestep has a test_loss in every run"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
