"""tau_mem of each class, and which classes are memorised within the budget.

Called by the resolver. The same criterion, interpolation and censoring as for all samples; classes differ in
when they are memorised, and a sweep's tau_mem is a mean over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tausweep.jobs.spec.metrics import F_MEM, of_class
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.medians import medians
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.grouping import condition_of, described
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import ClassRegime, ClassTimescale, Timescale
from tausweep.orchestrator.analysis.runs.run_crossings import cross_runs


def class_timescales(
    measured: MeasuredRuns, options: ResolverOptions, rng: np.random.Generator
) -> list[ClassTimescale]:
    """The timescale of every class, condition and n.

    Args:
        measured: runs with their curves; runs without measurements per class are left out.
        options: those of the sweep; the first criterion of f_mem over all samples is applied to each class.
        rng: source of the resamples.
    """
    base = next((c for c in options.criteria if isinstance(c, MemorisedFraction) and c.label is None), None)
    labels = sorted({label for run in measured.curves for label in run.classes})
    if base is None or not labels:
        return []
    of_class = {label: replace(base, label=label) for label in labels}
    timescales, drawn = cross_runs(measured, replace(options, criteria=tuple(of_class.values())), rng)
    return [
        _of_class(median, label, images=_images(measured, median, label))
        for label, criterion in of_class.items()
        for median in medians(timescales, [criterion], drawn, rng)
    ]


def _of_class(median: Timescale, label: int, *, images: float) -> ClassTimescale:
    return ClassTimescale(
        **described(median),
        criterion=median.criterion,
        quantity=median.quantity,
        n=median.n,
        tau=median.tau,
        censored=median.censored,
        bound=median.bound,
        n_points=median.n_points,
        n_censored=median.n_censored,
        label=label,
        images=images,
    )


def _images(measured: MeasuredRuns, median: Timescale, label: int) -> float:
    """Training images of a class: the mean over the runs behind a median."""
    condition = condition_of(median)
    members = [
        run for run in measured.curves if run.n == median.n and measured.of_run[run.run_id] == condition
    ]
    return float(np.mean([run.classes[label] for run in members if label in run.classes]))


def regimes(by_class: Sequence[ClassTimescale]) -> list[ClassRegime]:
    """Which classes are memorised and which are not yet, for every condition and n."""
    return list(_regimes(by_class))


def _regimes(by_class: Sequence[ClassTimescale]) -> Iterator[ClassRegime]:
    for condition, n in sorted({(condition_of(median), median.n) for median in by_class}):
        group = [median for median in by_class if (condition_of(median), median.n) == (condition, n)]
        yield ClassRegime(
            **described(group[0]),
            criterion=group[0].criterion.replace(of_class(F_MEM, group[0].label), F_MEM),
            n=n,
            memorised=[m.label for m in group if m.tau.estimate is not None or m.censored == "left"],
            not_yet=[m.label for m in group if m.censored == "right"],
        )
