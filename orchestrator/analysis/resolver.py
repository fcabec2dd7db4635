"""From a sweep's curves to a FitResult: timescales, their laws, the phase diagram and its boundary.

Called by `orchestrator.analysis.tables` and the report, which read the curves; pure, opens no file. No gap is
filled: a run that never crossed is censored and named, and an impossible fit is null with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tausweep.orchestrator.analysis.caveats import notes_on
from tausweep.orchestrator.analysis.conclusions import conclude
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.laws.architectural_line import lines
from tausweep.orchestrator.analysis.laws.by_class import class_timescales, regimes
from tausweep.orchestrator.analysis.laws.collapse import collapses
from tausweep.orchestrator.analysis.laws.competing.competition import compete
from tausweep.orchestrator.analysis.laws.medians import medians
from tausweep.orchestrator.analysis.laws.phase_diagram import boundaries, budgets_of, phase_points
from tausweep.orchestrator.analysis.laws.power_laws import crossed, fit_law
from tausweep.orchestrator.analysis.runs.conditions import MeasuredRuns
from tausweep.orchestrator.analysis.runs.grouping import by_condition, condition_of, described, group_of
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import Competition, Fit, FitResult, Law, RunTimescales
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE, cross_runs
from tausweep.orchestrator.analysis.runs.sampler import sampler_name


def fit_sweep(sweep: str, runs: pa.Table, measured: MeasuredRuns, options: ResolverOptions) -> FitResult:
    """Read the timescales and their laws from a sweep's curves.

    Args:
        sweep: its name.
        runs: one row per run, including runs without a measurement.
        measured: the runs with a measurement, read at the threshold `options.k`.
        options: how the sweep is resolved.
    """
    options = options.for_runs(measured.curves)
    rng = np.random.default_rng(options.seed)
    timescales, drawn = cross_runs(measured, options, rng)
    tau_mem, tau_gen = (
        next((c.name for c in options.criteria if c.quantity == quantity), "")
        for quantity in ("tau_mem", "tau_gen")
    )
    budgets = budgets_of(timescales, tau_mem)
    bounds = [b for budget in budgets for b in boundaries(timescales, tau_mem, budget, CONFIDENCE)]
    # A separate generator, so that other resamples do not depend on whether there are classes.
    by_class = class_timescales(measured, options, np.random.default_rng([options.seed, 1]))
    competitions = list(_competitions(timescales, options.criteria, tau_gen))
    result = FitResult(
        sweep=sweep,
        k=options.k,
        smoothing=options.smoothing,
        confidence=CONFIDENCE,
        draws=options.draws,
        seed=options.seed,
        criteria=[criterion.name for criterion in options.criteria],
        fits=list(_fits(timescales, options.criteria)),
        laws=list(_laws(timescales, options.criteria)),
        collapses=list(collapses(measured, options, rng)),
        timescales=list(medians(timescales, options.criteria, drawn, rng)),
        phase_diagram=phase_points(timescales, tau_mem, tau_gen),
        budgets=budgets,
        boundaries=bounds,
        lines=list(lines(timescales, tau_mem, competitions, CONFIDENCE)),
        competitions=competitions,
        by_class=by_class,
        regimes=regimes(by_class),
        runs=timescales,
        notes=list(notes_on(runs, measured, options.criteria)),
        sampler=_sampler(measured),
    )
    return result.model_copy(update={"conclusions": conclude(result)})


def _sampler(measured: MeasuredRuns) -> str | None:
    """The samplers of the runs, on which all times read from samples depend."""
    if not any(run.histories for run in measured.curves):
        return None
    names = {name for run in measured.curves if (name := sampler_name(run.settings))}
    return " or ".join(sorted(names)) or None


def _fits(runs: Sequence[RunTimescales], criteria: Iterable[Criterion]) -> Iterator[Fit]:
    """A law over n for every condition and criterion, by condition and then in the order of the criteria."""
    groups = [
        (condition_of(group[0]), place, criterion, group)
        for place, criterion in enumerate(criteria)
        for group in by_condition(runs, criterion.name)
    ]
    for _, _, criterion, group in sorted(groups, key=lambda entry: entry[:2]):
        law = fit_law(crossed(group, criterion.name), widths=False, confidence=CONFIDENCE)
        yield Fit(
            **described(group[0]),
            criterion=criterion.name,
            quantity=criterion.quantity,
            exponent=law.exponent,
            prefactor=law.prefactor,
            amplitude=law.amplitudes[0] if law.amplitudes else None,
            n_values=law.n_values,
            n_points=law.n_points,
            n_censored=law.n_censored,
            censored=law.censored,
            comparisons=law.comparisons,
            diagnostics=law.diagnostics,
            reason=law.reason,
            interval_note=law.interval_note,
        )


def _competitions(
    runs: Sequence[RunTimescales], criteria: Iterable[Criterion], tau_gen: str
) -> Iterator[Competition]:
    """The competing laws: for each condition, and for each optimizer over its widths.

    Only the first criterion of tau_mem on each curve is used, since other levels and thresholds say much the
    same.
    """
    firsts = {
        criterion.measure: criterion
        for criterion in reversed(list(criteria))
        if criterion.quantity == "tau_mem"
    }
    for criterion in reversed(firsts.values()):
        conditions = by_condition(runs, criterion.name)
        for group in conditions:
            yield compete(group, criterion.name, tau_gen, CONFIDENCE)
        for name in sorted({group_of(group[0]) for group in conditions}):
            members = [group for group in conditions if group_of(group[0]) == name]
            crossing = [g for g in members if any(run.crossings[criterion.name].tau for run in g)]
            if len(crossing) > 1:
                yield compete(
                    [run for group in members for run in group], criterion.name, tau_gen, CONFIDENCE
                )


def _laws(runs: Sequence[RunTimescales], criteria: Iterable[Criterion]) -> Iterator[Law]:
    """Laws over widths, for each optimizer and for all together; none if there is only one condition."""
    for criterion in criteria:
        measured = [run for run in runs if criterion.name in run.crossings]
        groups = sorted({group_of(run) for run in measured})
        chosen = [[run for run in measured if group_of(run) == group] for group in groups]
        chosen = [group for group in chosen if len({run.W for run in group}) > 1]
        # W and p cannot share a law.
        if len(groups) > 1 and len({run.width_axis for run in measured}) == 1:
            chosen.append(measured)
        for members in chosen:
            law = fit_law(crossed(members, criterion.name), widths=True, confidence=CONFIDENCE)
            yield Law(
                criterion=criterion.name,
                quantity=criterion.quantity,
                groups=law.groups,
                amplitudes=law.amplitudes,
                exponent=law.exponent,
                width_exponent=law.width_exponent,
                W_values=sorted({run.W for run in members}),
                n_values=law.n_values,
                n_points=law.n_points,
                n_censored=law.n_censored,
                censored=law.censored,
                comparisons=law.comparisons,
                diagnostics=law.diagnostics,
                reason=law.reason,
                interval_note=law.interval_note,
            )
