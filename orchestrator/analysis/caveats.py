"""Caveats that accompany a result: runs, evaluations and curves that are missing or pooled.

Called by the resolver; computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tausweep.jobs.spec.metrics import TEST_LOSS, is_quality
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.curves import RunCurves


def notes_on(runs: pa.Table, measured: MeasuredRuns, criteria: Sequence[Criterion]) -> Iterator[str]:
    """Sentences about everything that the result itself does not show.

    Args:
        runs: one row per run, including runs without a measurement.
        measured: runs with a measurement.
        criteria: the criteria that the sweep is resolved with.
    """
    curves = measured.curves
    if missing := sorted(set(runs["run_id"].to_pylist()) - {run.run_id for run in curves}):
        yield f"no measurement yet from {len(missing)} of {runs.num_rows} runs: {_listed(missing)}"
    for state in sorted({run.state for run in curves} - {"succeeded"}):
        ids = [run.run_id for run in curves if run.state == state]
        yield f"{len(ids)} {state} runs are used up to their largest tau so far, as their budget: {_listed(ids)}"
    if lost := [run.run_id for run in curves if run.histories and not run.histories.whole]:
        yield f"evaluations with fewer samples than the others are left out in: {_listed(lost)}"
    if measured.pooled:
        yield f"changes together with n, so each fit over n is also one over: {', '.join(measured.pooled)}"
    for criterion in criteria:
        if without := [run.run_id for run in curves if run.curve_of(criterion) is None]:
            instead = _measured_instead(curves, criterion) if len(without) == len(curves) else ""
            yield (
                f"{criterion.measure} was not measured in {len(without)} runs ({criterion.name}): "
                f"{_listed(without)}{instead}"
            )
    if curves and not any(criterion.measure == "loss_gap" for criterion in criteria):
        yield "no loss-gap criterion: none was asked for, or no timestep has a test_loss in every run"


def _measured_instead(runs: Sequence[RunCurves], criterion: Criterion) -> str:
    """What exists in place of a measure that no run has, as text."""
    curves = {key for run in runs for key in run.metrics}
    if criterion.t is not None:
        at = sorted({t for name, t in curves if name == TEST_LOSS and t is not None})
        return f"; measured are the losses at t = {', '.join(f'{t:g}' for t in at)}" if at else ""
    if not is_quality(criterion.measure):
        return ""
    names = sorted({name for name, t in curves if t is None and is_quality(name)})
    return f"; measured are {', '.join(names)}" if names else ""


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
