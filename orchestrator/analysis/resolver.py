"""From the store's tables to a FitResult: timescales of each run, their laws, the phase diagram and its boundary.

Called by the command line, the report and `orchestrator.api`, which read the tables and write the result; pure, opens no
file. Nothing is filled in: a run that never crossed is censored and named, a fit that cannot be made is null with its
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tausweep.orchestrator.analysis.caveats import notes_on
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Smoothing
from tausweep.orchestrator.analysis.criteria.names import require_view
from tausweep.orchestrator.analysis.laws.architectural_line import lines
from tausweep.orchestrator.analysis.laws.by_class import class_timescales, regimes
from tausweep.orchestrator.analysis.laws.collapse import collapses
from tausweep.orchestrator.analysis.laws.medians import medians
from tausweep.orchestrator.analysis.laws.phase_diagram import boundaries, budgets_of, phase_points
from tausweep.orchestrator.analysis.laws.power_laws import crossed, fit_law
from tausweep.orchestrator.analysis.runs.conditions import conditions
from tausweep.orchestrator.analysis.runs.curves import RunCurves, read_curves
from tausweep.orchestrator.analysis.runs.default_criteria import criteria_for
from tausweep.orchestrator.analysis.runs.grouping import by_condition, condition_of, described, group_of
from tausweep.orchestrator.analysis.runs.results import Fit, FitResult, Law, RunTimescales
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE, crossings_of, timescales_of
from tausweep.storage.errors import InputError

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
        runs: one row a run, settings as columns (see `storage.tables.record_tables.runs_table`).
        metrics: rows of `storage.tables.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.tables.schemas.NEIGHBOURS`, the attempt rule applied.
        sweep: its name.
        k: threshold of the gap ratio where a criterion has none; f_mem is computed anew from the neighbours.
        criteria: by default `orchestrator.analysis.runs.default_criteria.criteria_for`.
        smoothing: "isotonic" replaces f_mem and the loss gap by their nearest rising curves first.
        draws: bootstrap resamples, at least 1.
        seed: of the bootstrap; the same tables and seed give the same result.

    Raises:
        InputError: an argument is out of its range, or a criterion is given twice.
    """
    require_view(k, criteria or (), smoothing)
    found = read_curves(runs, metrics, neighbours, k=k)
    return resolve_curves(
        runs, found, sweep=sweep, k=k, criteria=criteria, smoothing=smoothing, draws=draws, seed=seed
    )


def resolve_curves(
    runs: pa.Table,
    found: Sequence[RunCurves],
    *,
    sweep: str,
    k: float,
    criteria: Sequence[Criterion] | None,
    smoothing: Smoothing,
    draws: int,
    seed: int = 0,
) -> FitResult:
    """`resolve` for those who have read the curves already: `found`, of these runs, at this k."""
    if draws < 1:
        raise InputError(f"draws = {draws}: at least one bootstrap resample is needed")
    of_run, pooled = conditions(found)
    chosen = tuple(criteria) if criteria else criteria_for(found)
    rng = np.random.default_rng(seed)
    timescales, drawn = [], {}
    for run in found:
        crossings, resamples = crossings_of(run, chosen, smoothing, draws, rng)
        timescales.append(timescales_of(run, of_run[run.run_id], crossings))
        drawn.update({(run.run_id, name): values for name, values in resamples.items()})
    main = {
        quantity: next((c.name for c in chosen if c.quantity == quantity), "")
        for quantity in ("tau_mem", "tau_gen")
    }
    budgets = budgets_of(timescales, main["tau_mem"])
    bounds = [b for budget in budgets for b in boundaries(timescales, main["tau_mem"], budget, CONFIDENCE)]
    # A generator of its own, so that what is resampled for the rest does not depend on whether there are classes.
    by_class = class_timescales(found, of_run, chosen, smoothing, draws, np.random.default_rng([seed, 1]))
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
        collapses=list(collapses(found, of_run, k, CONFIDENCE, max(1, draws // _COLLAPSE_SHARE), rng)),
        timescales=list(medians(timescales, chosen, drawn, CONFIDENCE, rng)),
        phase_diagram=phase_points(timescales, main["tau_mem"], main["tau_gen"]),
        budgets=budgets,
        boundaries=bounds,
        lines=list(lines(timescales, main["tau_mem"], bounds, CONFIDENCE)),
        by_class=by_class,
        regimes=regimes(by_class),
        runs=timescales,
        notes=list(notes_on(runs, found, pooled, chosen)),
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
        if (
            len(groups) > 1 and len({run.width_axis for run in measured}) == 1
        ):  # W and p have no law in common
            chosen.append(measured)
        for members in chosen:
            law = fit_law(crossed(members, criterion.name), widths=True, confidence=CONFIDENCE)
            del law["prefactor"]
            widths = sorted({run.W for run in members})
            head = {"criterion": criterion.name, "quantity": criterion.quantity, "W_values": widths}
            yield Law.model_validate({**head, **law})
