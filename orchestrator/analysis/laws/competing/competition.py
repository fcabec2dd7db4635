"""The competition of laws: all are fitted by the same likelihood to the same runs and compared by AICc.

Called by the resolver with the runs of one condition, or of all widths of an optimizer. A law is rejected
where its likelihood relative to the best one, exp(−ΔAICc/2), is below 1/20: ΔAICc > 6 (Burnham & Anderson
2002, doi:10.1007/b97636).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.laws.competing.floor import Floor
from tausweep.orchestrator.analysis.laws.competing.law import CompetingLaw, Observed, Parameter
from tausweep.orchestrator.analysis.laws.competing.line import Line
from tausweep.orchestrator.analysis.laws.competing.power import PowerLaw
from tausweep.orchestrator.analysis.laws.power_laws import aicc_penalty, crossed, responses_of
from tausweep.orchestrator.analysis.runs.grouping import described
from tausweep.orchestrator.analysis.runs.results import CompetingFit, Competition, Estimate, RunTimescales
from tausweep.orchestrator.analysis.statistics.censored_regression import threshold
from tausweep.orchestrator.analysis.statistics.curve_regression import CurveFit, fit_curve, profile_of

LAWS: list[CompetingLaw] = [
    PowerLaw(),
    Floor(),
    PowerLaw(after_tau_gen=True),
    Line(floor=False),
    Line(floor=True),
]
"""A law is registered by its line here."""
WITH_LINE = "tau_0 + c·n/(1 − n/n*)"
"""The law of one width whose n* is the architectural line."""
REJECTED = 6.0
"""A law is rejected where its AICc is so much above the smallest."""


def compete(
    runs: Sequence[RunTimescales], criterion: str, tau_gen: str, confidence: float, only: str | None = None
) -> Competition:
    """Fit all laws to runs that measured a criterion.

    Args:
        runs: those of one condition, or of conditions that differ only in width.
        criterion: of tau_mem.
        tau_gen: name of the criterion of good samples.
        confidence: of the intervals.
        only: the one wanted parameter, for simulations; None for all.
    """
    known = [run for run in runs if run.crossings[criterion].tau or run.crossings[criterion].bound]
    observed = _observed(known, criterion, tau_gen)
    seen = len(observed.seen_n)
    entries = [_fitted(law, observed, confidence, only) for law in LAWS]
    fits = _compared(entries)
    fields = described(runs[0])
    return Competition(
        optimizer=fields["optimizer"],
        batch=fields["batch"],
        settings=fields["settings"],
        width_axis=fields["width_axis"],
        W_values=sorted({run.W for run in runs}),
        p_values=sorted({run.p for run in runs}),
        criterion=criterion,
        n_points=seen,
        n_censored=len(runs) - seen,
        laws=fits,
        verdict=_verdict(fits),
    )


def _observed(runs: Sequence[RunTimescales], criterion: str, tau_gen: str) -> Observed:
    gen = [run.crossings.get(tau_gen) for run in runs]
    return Observed(
        n=np.array([run.n for run in runs], dtype=np.float64),
        width=np.array([run.W for run in runs], dtype=np.float64),
        p=np.array([run.p for run in runs], dtype=np.float64),
        tau_gen=np.array([at.tau if at and at.tau else np.nan for at in gen], dtype=np.float64),
        responses=responses_of(crossed(runs, criterion)),
    )


def _fitted(law: CompetingLaw, runs: Observed, confidence: float, only: str | None) -> CompetingFit:
    """A fitted law, before the comparison with the others."""
    formula, count = law.formula(runs), len(runs.seen_n)
    reason = law.missing(runs) if count else "no run was seen to cross"
    if reason is not None:
        return CompetingFit(law=formula, has_line=law.has_line, reason=reason)
    named = law.parameters(runs)
    penalty = aicc_penalty(len(named) + 1, len(runs.n))
    if count <= len(named) or penalty is None:
        return CompetingFit(
            law=formula,
            has_line=law.has_line,
            reason=f"{count} runs crossed; more than {len(named)} are needed",
        )
    fit, estimates = _estimated(law, runs, None, confidence, only)
    if isinstance(law, Line) and runs.several_widths:
        n_star = {p: _star_at(law, runs, fit, p, confidence) for p in sorted(set(runs.p))}
        estimates |= {f"n_star(p = {p:.0f})": estimate for p, estimate in n_star.items()}
    return CompetingFit(
        law=formula,
        has_line=law.has_line,
        parameters=estimates,
        sigma=fit.sigma,
        log_likelihood=fit.log_likelihood,
        aicc=penalty - 2 * fit.log_likelihood,
    )


def _estimated(
    law: CompetingLaw,
    runs: Observed,
    start: Floats | None,
    confidence: float,
    only: str | None = None,
) -> tuple[CurveFit, dict[str, Estimate]]:
    """The most likely parameters, from an optional start, with the intervals of all or of one."""
    curve, level = partial(law.mean, runs=runs), law.level(runs)
    starts = law.starts(runs) if start is None else [start]
    fit = fit_curve(curve, starts, level, runs.responses)
    named = law.parameters(runs)
    allowed = threshold(runs.responses, len(named), confidence)
    estimates = {}
    for place, parameter in enumerate(named):
        if only in (None, parameter.name):
            ends = profile_of(curve, fit, runs.responses, place, allowed, parameter.limits)
            estimates[parameter.name] = _estimate(parameter, float(fit.theta[place]), ends)
    return fit, estimates


def _star_at(law: Line, runs: Observed, fit: CurveFit, p: float, confidence: float) -> Estimate:
    """n* of the joint law at one p."""
    place = len(fit.theta) - 2
    start = fit.theta.copy()
    start[place] += start[place + 1] * np.log(p)
    return _estimated(replace(law, at_p=p), runs, start, confidence, "n_star")[1]["n_star"]


def _estimate(parameter: Parameter, value: float, ends: tuple[float | None, float | None]) -> Estimate:
    """A parameter as an estimate. A value at its limit, where the law no longer changes, is unknown."""
    low, high = (end if end is None or not parameter.logarithm else float(np.exp(end)) for end in ends)
    own = float(np.exp(value)) if parameter.logarithm else value
    if low is None:
        low = parameter.open_low
    if value >= parameter.limits[1]:
        return Estimate(low=low)
    return Estimate(estimate=own, low=low, high=high)


def _compared(entries: Sequence[CompetingFit]) -> list[CompetingFit]:
    """The laws with their distance from the best, best first, those without a fit last."""
    best = min((entry.aicc for entry in entries if entry.aicc is not None), default=None)
    placed = []
    for entry in entries:
        if entry.aicc is not None and best is not None:
            delta = entry.aicc - best
            placed.append(entry.model_copy(update={"delta_aicc": delta, "rejected": delta > REJECTED}))
        else:
            placed.append(entry)
    return sorted(placed, key=lambda entry: np.inf if entry.aicc is None else entry.aicc)


def _verdict(fits: Sequence[CompetingFit]) -> str:
    """Which law describes the runs, and which are rejected."""
    fitted = [fit for fit in fits if fit.aicc is not None]
    if not fitted:
        return "no law can be fitted: " + (fits[0].reason or "")
    rivals = [fit.law for fit in fitted[1:] if not fit.rejected]
    rejected = [fit.law for fit in fitted if fit.rejected]
    words = [f"{fitted[0].law} describes the runs best"]
    if rivals:
        words.append(f"not rejected: {'; '.join(rivals)}")
    if rejected:
        words.append(f"rejected: {'; '.join(rejected)}")
    return "; ".join(words) if len(fitted) > 1 else f"{fitted[0].law} is the only law that can be fitted"
