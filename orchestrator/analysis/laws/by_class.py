"""tau_mem of each class: when the samples of one class are memorised, and which classes are so within the budget.

Called by the resolver. The same criterion, interpolation and censoring as for all samples; classes differ in when they
are memorised, and a sweep's tau_mem is a mean over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Smoothing
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.medians import medians
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves
from tausweep.orchestrator.analysis.runs.grouping import condition_of, described
from tausweep.orchestrator.analysis.runs.results import ClassRegime, ClassTimescale, Timescale
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE, crossings_of, timescales_of


def class_timescales(
    runs: Sequence[RunCurves],
    of_run: Mapping[str, Condition],
    criteria: Sequence[Criterion],
    smoothing: Smoothing,
    draws: int,
    rng: np.random.Generator,
) -> list[ClassTimescale]:
    """The timescale of every class, condition and n.

    Args:
        runs: with their curves; those that were not measured by class are left out.
        of_run: their conditions.
        criteria: of the sweep; the first of f_mem over all samples is taken, class by class.
        smoothing: as for the sweep.
        draws: bootstrap resamples.
        rng: source of the resamples.
    """
    base = next((c for c in criteria if isinstance(c, MemorisedFraction) and c.label is None), None)
    labels = sorted({label for run in runs for label in run.classes})
    if base is None or not labels:
        return []
    of_class = {label: replace(base, label=label) for label in labels}
    timescales, drawn = [], {}
    for run in runs:
        crossings, resamples = crossings_of(run, of_class.values(), smoothing, draws, rng)
        timescales.append(timescales_of(run, of_run[run.run_id], crossings))
        drawn.update({(run.run_id, name): values for name, values in resamples.items()})
    return [
        ClassTimescale.model_validate(
            {**found.model_dump(), "label": label, "images": _images(runs, of_run, found, label)}
        )
        for label, criterion in of_class.items()
        for found in medians(timescales, [criterion], drawn, CONFIDENCE, rng)
    ]


def _images(
    runs: Sequence[RunCurves], of_run: Mapping[str, Condition], found: Timescale, label: int
) -> float:
    members = [run for run in runs if run.n == found.n and of_run[run.run_id] == condition_of(found)]
    return float(np.mean([run.classes[label] for run in members if label in run.classes]))


def regimes(by_class: Sequence[ClassTimescale]) -> list[ClassRegime]:
    """Which classes are memorised and which are not yet, for every condition and n."""
    return list(_regimes(by_class))


def _regimes(by_class: Sequence[ClassTimescale]) -> Iterator[ClassRegime]:
    for condition, n in sorted({(condition_of(found), found.n) for found in by_class}):
        group = [found for found in by_class if (condition_of(found), found.n) == (condition, n)]
        yield ClassRegime.model_validate(
            {
                **described(group[0]),
                "criterion": group[0].criterion.replace(f"_class{group[0].label}", ""),
                "n": n,
                "memorised": [f.label for f in group if f.tau.estimate is not None or f.censored == "left"],
                "not_yet": [f.label for f in group if f.censored == "right"],
            }
        )
