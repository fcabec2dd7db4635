"""What the interactive part of the report draws, as JSON values: curves, crossings, laws, the phase diagram by budget.

Called by the report. Computes no fit; states of the phase diagram come from `orchestrator.analysis.laws.phase_diagram`, so that the
slider shows what the resolver says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tausweep.jobs.spec.metrics import TEST_LOSS, TRAIN_LOSS, is_quality
from tausweep.orchestrator.analysis.conclusions import criteria_of_growth
from tausweep.orchestrator.analysis.criteria.criterion import written
from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.laws.phase_diagram import phase_points
from tausweep.orchestrator.analysis.runs.curves import Condition, Curve, RunCurves
from tausweep.orchestrator.analysis.runs.default_criteria import THRESHOLDS
from tausweep.orchestrator.analysis.runs.grouping import condition_of, group_of, width_axis, width_words
from tausweep.orchestrator.analysis.runs.results import ArchitecturalLine, Boundary, PhasePoint, RunTimescales
from tausweep.orchestrator.figures.n_star import boundaries_at, lines_in_sight, open_at
from tausweep.orchestrator.figures.palette import as_json
from tausweep.orchestrator.figures.study import Study


def payload(study: Study, tau_mem: str, tau_gen: str) -> dict[str, Any]:
    """All that the report's script reads.

    Args:
        study: of the report; may be empty.
        tau_mem: name of the criterion that decides on memorisation.
        tau_gen: name of that of good quality.
    """
    result = study.result
    present = [name for name in result.criteria if any(name in run.crossings for run in result.runs)]
    first = next(iter(criteria_of_growth(result)), tau_mem)
    conditions = sorted({condition_of(run) for run in result.runs})
    taus: dict[tuple[int, ...], int] = {}
    runs = [
        _run(run, curves, conditions, present, taus)
        for run, curves in zip(result.runs, study.runs, strict=True)
    ]
    return {
        "n": sorted({run.n for run in result.runs}),
        "W": sorted({run.W for run in result.runs}),
        "axis": width_axis(result.runs),
        "groups": sorted({group_of(run) for run in result.runs}),
        "conditions": [label(study, condition) for condition in conditions],
        "criteria": present,
        "criterion": present.index(first) if first in present else 0,
        "measures": list(dict.fromkeys(name for run in study.runs for name, _ in _measures(run))),
        "runs": runs,
        "taus": [list(grid) for grid in taus],
        "fits": [
            {
                "condition": conditions.index(condition_of(fit)),
                "criterion": fit.criterion,
                "exponent": fit.exponent.estimate,
                "low": fit.exponent.low,
                "high": fit.exponent.high,
                "amplitude": fit.amplitude,
            }
            for fit in result.fits
        ],
        "budgets": [_budget(study, budget, tau_mem, tau_gen) for budget in result.budgets],
        "lines": [
            {**_n_star(line, line.verdict), "converged": line.converged}
            for line in (lines_in_sight(result) if result.runs else [])
        ],
        "open_at": open_at(result) if result.runs else "",
        "palette": as_json(len({run.n for run in result.runs})),
    }


def label(study: Study, condition: Condition) -> str:
    """What tells a condition from the others, or its width where there is only one."""
    return study.label(condition) or width_words(condition)


def _run(
    run: RunTimescales,
    curves: RunCurves,
    conditions: list[Condition],
    present: list[str],
    taus: dict[tuple[int, ...], int],
) -> dict[str, Any]:
    measured = {}
    for name, curve in _measures(curves):
        key = tuple(curve.tau.tolist())
        measured[name] = {
            "x": taus.setdefault(key, len(taus)),
            "y": [_short(value) for value in curve.value.tolist()],
        }
    return {
        "id": run.run_id,
        "n": run.n,
        "W": run.W,
        "seed": run.seed,
        "group": group_of(run),
        "condition": conditions.index(condition_of(run)),
        "curves": measured,
        "crossings": [_crossing(run.crossings.get(name)) for name in present],
    }


def _measures(run: RunCurves) -> Iterator[tuple[str, Curve]]:
    if run.histories:
        for k in (run.k, *(k for k in THRESHOLDS if k != run.k)):
            curve = run.f_mem(k)
            assert curve is not None
            yield f"f_mem (k = {written(k)})", curve
    for name, t in sorted(run.metrics, key=lambda key: (key[0], key[1] or 0)):
        if t is None and is_quality(name):
            yield name, run.metrics[name, t]
    at = sorted({t for name, t in run.metrics if name in (TRAIN_LOSS, TEST_LOSS) and t is not None})
    for words, measure in (
        ("test loss", TEST_LOSS),
        ("train loss", TRAIN_LOSS),
        ("loss gap", "loss_gap"),
    ):
        for t in at:
            if curve := run.curve(measure, t):
                yield f"{words} at t = {t:g}", curve


def _short(value: float) -> float:
    """Four digits are more than a plot shows, and keep the file small."""
    return float(f"{value:.4g}")


def _crossing(crossing: Crossing | None) -> tuple[float | None, str] | None:
    if crossing is None:
        return None
    known = crossing.tau if crossing.tau is not None else crossing.bound
    return None if known is None else _short(known), crossing.censored or ""


def _budget(study: Study, budget: int, tau_mem: str, tau_gen: str) -> dict[str, Any]:
    points = phase_points(study.result.runs, tau_mem, tau_gen, budget)
    return {
        "tau": budget,
        "points": [_point(point) for point in points],
        "boundaries": [
            {**_n_star(at, at.reason or ""), "tau": at.budget} for at in boundaries_at(study.result, budget)
        ],
    }


def _point(point: PhasePoint) -> dict[str, Any]:
    fields = ("n", "W", "p", "state", "tau_mem", "tau_gen", "budget", "n_runs", "n_crossed")
    return {"group": group_of(point), **{name: getattr(point, name) for name in fields}}


def _n_star(end: Boundary | ArchitecturalLine, words: str) -> dict[str, Any]:
    return {"group": group_of(end), "W": end.W, "p": end.p, "words": words, **end.n_star.model_dump()}
