"""What a person would say of a result: at most eight sentences, made from its numbers and nothing else.

Called by the resolver; the terminal and the report print them first. A sentence that has nothing to say is left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import condition_of, group_words, width_axis, width_words
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import (
    ArchitecturalLine,
    Boundary,
    Comparison,
    CompetingFit,
    Estimate,
    Fit,
    FitResult,
    Law,
    RunTimescales,
)
from tausweep.orchestrator.analysis.runs.wording import number, with_interval

_LEVEL = 0.05  # of tests, below which a law is said to be rejected
_LISTED = 4  # conditions that a sentence names one by one
_AT_SIZE = re.compile(r"\(p = (.+)\)")
_PREFIX = "not converged: "


def conclude(result: FitResult) -> list[str]:
    """The sentences of a result, eight at most.

    Args:
        result: whose own `conclusions` are not read.
    """
    if not result.runs:
        return [
            f"No run of sweep {result.sweep} has a measurement yet, so there is nothing to conclude.",
            f"Next: `tausweep status {shlex.quote(result.sweep)}` says what its runs are doing.",
        ]
    return [
        *_trained(result),
        *_growth_of_tau_mem(result),
        *_best_law(result),
        *_growth_of_tau_gen(result),
        *_boundary(result),
        *_line(result),
        *_censored(result),
        *_next(result),
    ]


def _trained(result: FitResult) -> Iterator[str]:
    runs = result.runs
    count = f"{len(runs)} runs" if len(runs) > 1 else "One run"
    widths = _listed([f"{W:,}" for W in sorted({run.W for run in runs})])
    if (axis := width_axis(runs)) == "W":
        widths += f" ({_span('p', [run.p for run in runs])})"
    budgets = [max(run.budget for run in runs if condition_of(run) == one) for one in _conditions(result)]
    yield (
        f"{count} of sweep {result.sweep} count: {_span('n', [run.n for run in runs])} at {axis} = {widths}, "
        f"trained up to {_span('tau', budgets)}."
    )


def _span(name: str, values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{name} = {low:,}" + (f" to {high:,}" if high > low else "")


# --- timescales ----------------------------------------------------------------------------------------------------


def _growth_of_tau_mem(result: FitResult) -> Iterator[str]:
    """By one criterion of samples and one of losses; where neither has an exponent, the reason why."""
    if known := criteria_of_growth(result):
        yield f"tau_mem {'; '.join(_growth(result, name) for name in known)}."
    elif firsts := _firsts(result, "tau_mem"):
        yield f"tau_mem {_no_growth(result, firsts[0])}."


def criteria_of_growth(result: FitResult) -> list[str]:
    """The criteria by which it is said how tau_mem grows: one of samples and one of losses, first that which most runs reached."""
    known = [name for name in _firsts(result, "tau_mem") if _known(result, name)]
    one_each = {_is_sampled(name): name for name in reversed(known)}
    return sorted(one_each.values(), key=lambda name: (_late(result, name), result.criteria.index(name)))


def _growth_of_tau_gen(result: FitResult) -> Iterator[str]:
    for name in _firsts(result, "tau_gen")[:1]:
        yield f"tau_gen {_growth(result, name) if _known(result, name) else _no_growth(result, name)}."


def _firsts(result: FitResult, quantity: str) -> list[str]:
    """Of each measure the first criterion that any run measured."""
    measured = {fit.criterion for fit in result.fits if fit.quantity == quantity}
    firsts = {
        name.split("=")[0].split("≤")[0]: name for name in reversed(result.criteria) if name in measured
    }
    return [name for name in result.criteria if name in firsts.values()]


def _late(result: FitResult, criterion: str) -> int:
    """Runs that did not reach a criterion."""
    return sum(
        run.crossings[criterion].censored == "right" for run in result.runs if criterion in run.crossings
    )


def _laws(result: FitResult, criterion: str) -> list[Fit | Law]:
    """The one law over all widths where there is one, else that of each condition."""
    joint = [law for law in result.laws if law.criterion == criterion and law.exponent.estimate is not None]
    if len(joint) == 1 and len(joint[0].groups) == 1:
        return [joint[0]]
    return [fit for fit in result.fits if fit.criterion == criterion]


def _known(result: FitResult, criterion: str) -> list[Fit | Law]:
    return [law for law in _laws(result, criterion) if law.exponent.estimate is not None]


def _no_growth(result: FitResult, criterion: str) -> str:
    """Why a criterion has no exponent, each reason once with where it holds."""
    laws = _laws(result, criterion)
    reasons: dict[str, list[str]] = {}
    for law in laws:
        assert isinstance(law, Fit)
        reasons.setdefault(law.reason or "", []).append(_where(result, law))
    words = [
        f"{reason} ({_listed(where)})" if len(reasons) > 1 else reason for reason, where in reasons.items()
    ]
    return f"has no exponent by {_by(result, criterion)}: {_listed(words)}"


def _growth(result: FitResult, criterion: str) -> str:
    """How the time of one criterion goes with n, and which simple laws are rejected."""
    known, by = _known(result, criterion), _by(result, criterion)
    if len(known) > 1:
        powers = [f"{_power(law)} at {_where(result, law)}" for law in known if isinstance(law, Fit)]
        return f"{_verb(known)} like {_listed(powers)} ({by})"
    (law,) = known
    if law.exponent.low is None and law.exponent.high is None:
        return f"{_verb(known)} like {_power(law)} ({by}), without an interval: too few runs crossed"
    proportional, constant = (_rejected(law.comparisons, f"exponent = {value}") for value in (1, 0))
    if constant is False and proportional is not False:
        return f"does not depend on n as far as can be seen: {_power(law)} ({by}); {_tested(proportional, constant)}"
    tested = _tested(proportional, constant)
    return f"{_verb(known)} like {_power(law)} ({by}){f': {tested}' if tested else ''}"


def _power(law: Fit | Law) -> str:
    power = f"n^{with_interval(law.exponent)}"
    if isinstance(law, Law) and law.width_exponent.estimate is not None:
        gamma = law.width_exponent
        sign = "−" if gamma.estimate is not None and gamma.estimate >= 0 else ""
        ends = f" [{number(gamma.low)}, {number(gamma.high)}]" if None not in (gamma.low, gamma.high) else ""
        power += f" · W^{sign}{number(abs(gamma.estimate or 0))}{ends}"
    return power


def _verb(laws: Sequence[Fit | Law]) -> str:
    rising = {(law.exponent.estimate or 0) > 0 for law in laws}
    return "goes" if len(rising) > 1 else "grows" if True in rising else "falls"


def _rejected(comparisons: Sequence[Comparison], hypothesis: str) -> bool | None:
    """None where it was not tested."""
    test = next((one for one in comparisons if one.hypothesis == hypothesis), None)
    return None if test is None else test.p_value < _LEVEL


def _tested(proportional: bool | None, constant: bool | None) -> str:
    match proportional, constant:
        case False, True:
            return "proportional to n is not rejected, constant is"
        case True, False:
            return "constant is not rejected, proportional to n is"
        case True, True:
            return "proportional to n is rejected, and so is constant"
        case False, False:
            return "neither proportional to n nor constant is rejected"
    return ""


def _by(result: FitResult, criterion: str) -> str:
    """A criterion, and the sampler where it moves what the criterion reads."""
    by_samples = _is_sampled(criterion) and result.sampler
    return f"{criterion}, samples by {result.sampler}" if by_samples else criterion


def _is_sampled(criterion: str) -> bool:
    return criterion.startswith(("f_mem", "frechet", "fid"))


def _best_law(result: FitResult) -> Iterator[str]:
    """Of the laws that compete: those over all widths, or those of the one condition."""
    first = next(iter(_firsts(result, "tau_mem")), None)
    fitted = [one for one in result.competitions if one.criterion == first and one.laws[0].aicc is not None]
    joint = [one for one in fitted if len(one.W_values) > 1]
    chosen = joint or fitted
    if len(chosen) == 1:
        yield f"Of the laws of tau_mem by {first}, {chosen[0].verdict}{_n_star_of(chosen[0].laws[0])}."


def _n_star_of(law: CompetingFit) -> str:
    """The n* of a law that has one, if it is the best: where it says tau_mem would end, whatever the budget."""
    stars = {name: value for name, value in law.parameters.items() if name.startswith("n_star")}
    values = [
        with_interval(value) + (f" at p = {float(size[1]):,.0f}" if (size := _AT_SIZE.search(name)) else "")
        for name, value in stars.items()
    ]
    return f". By it memorisation would end at n* = {_listed(values)}" if values else ""


# --- n* ------------------------------------------------------------------------------------------------------------


def _boundary(result: FitResult) -> Iterator[str]:
    """Of each condition at its own last budget: not all are trained equally long."""
    last = last_boundaries(result)
    known = [at for at in last if at.n_star != Estimate()]
    budgets = {at.budget for at in known}
    if known:
        values = [
            f"{with_interval(at.n_star)} at {_where(result, at, p=True)}"
            + (f" within tau = {at.budget:,}" if len(budgets) > 1 else "")
            for at in known
        ]
        within = f"Within tau = {known[0].budget:,} half" if len(budgets) == 1 else "Half"
        yield f"{within} of the runs memorise at n* = {_listed(values)}."
    elif last and last[0].reason:
        yield f"n* within tau = {last[0].budget:,} has no estimate: {last[0].reason}."


def _line(result: FitResult) -> Iterator[str]:
    converged = [line for line in result.lines if line.converged]
    open_lines = [line for line in result.lines if not line.converged]
    parts = []
    if converged:
        values = [
            f"n* = {with_interval(line.n_star)} at {_where(result, line, p=True)}" for line in converged
        ]
        parts.append(f"The architectural line has converged: {_listed(values)}")
    if open_lines:
        reasons: dict[str, list[str]] = {}
        for line in open_lines:
            reasons.setdefault(line.verdict.removeprefix(_PREFIX), []).append(_where(result, line))
        several = len(_conditions(result)) > 1
        words = [
            f"at {_listed(where)} ({reason})" if several else reason for reason, where in reasons.items()
        ]
        start = "not yet" if converged else "No architectural line has converged yet"
        parts.append(f"{start}{' ' if several else ': '}{'; '.join(words)}")
    if parts:
        yield "; ".join(parts) + "."


# --- what is open ---------------------------------------------------------------------------------------------------


def _censored(result: FitResult) -> Iterator[str]:
    for first in _firsts(result, "tau_mem")[:1]:
        crossings = [run.crossings[first] for run in result.runs if first in run.crossings]
        late, early = (sum(crossing.censored == side for crossing in crossings) for side in ("right", "left"))
        parts = []
        if late:
            parts.append(
                f"{late} of {len(crossings)} runs did not reach {first} within their budget and count as later than it"
            )
        if early:
            parts.append(f"{early} had reached it by their first evaluation and count as earlier")
        if parts:
            yield "; ".join(parts) + "."


def _next(result: FitResult) -> Iterator[str]:
    """What would tell most, with a command to paste or the setting to change."""
    sweep = shlex.quote(result.sweep)
    first = next(iter(_firsts(result, "tau_mem")), None)
    runs = [run for run in result.runs if first in run.crossings]
    largest = max(run.n for run in result.runs)
    open_lines = [line for line in result.lines if not line.converged]
    if not runs:
        yield f"Next: `tausweep report {sweep}` draws what was measured."
    elif len(late := _late_runs(runs, first)) == len(runs):
        budget = 2 * max(run.budget for run in runs)
        yield f"Next: no run reached {first}; train longer, for example to tau = {budget:,} (`steps` in the sweep file)."
    elif len({run.n for run in runs}) < 3:
        yield f"Next: a law needs at least three n; add {2 * largest} and {4 * largest} to `n` in the sweep file."
    elif result.lines and not open_lines:
        yield f"Next: `tausweep report {sweep}` draws the line; more seeds would narrow it."
    elif moving := [line for line in open_lines if _still_moves(line, runs)]:
        line = moving[0]
        own = [run for run in late if condition_of(run) == condition_of(line)]
        budget = 2 * max(run.budget for run in own)
        steps = sum(budget - run.budget for run in own)
        which = f"the {len(own)} runs" if len(own) > 1 else "the run"
        yield (
            f"Next: {steps:,} more steps of {which} at {_where(result, line)} that have not memorised "
            f"({_span('n', [run.n for run in own])}, to tau = {budget:,}) would tell whether n* still moves."
        )
    else:
        yield f"Next: `tausweep refine {sweep} --runs {max(4, len(result.lines))}` names the runs that would tell most about n*."


def _late_runs(runs: Sequence[RunTimescales], criterion: str | None) -> list[RunTimescales]:
    return [run for run in runs if criterion and run.crossings[criterion].censored == "right"]


def _still_moves(line: ArchitecturalLine, runs: Sequence[RunTimescales]) -> bool:
    """Whether all that a line lacks is more training: it lies within the n that were trained, and some did not memorise."""
    own = [run for run in runs if condition_of(run) == condition_of(line)]
    return (
        line.n_star.high is not None
        and line.n_star.high <= max(run.n for run in own)
        and bool(_late_runs(own, line.criterion))
    )


# --- words ----------------------------------------------------------------------------------------------------------


def _conditions(result: FitResult) -> list[Condition]:
    return sorted({condition_of(run) for run in result.runs})


def _where(result: FitResult, at: ArchitecturalLine | Boundary | Fit, *, p: bool = False) -> str:
    """A condition by what tells it from the others of the sweep: its width, and settings that not all of them share."""
    others = [group_words(condition) for condition in _conditions(result)]
    words = [word for word in group_words(condition_of(at)) if any(word not in other for other in others)]
    if not words or len({condition.W for condition in _conditions(result)}) > 1:
        words.insert(0, width_words(at))
    if p and words[0] == f"W = {at.W}":
        words[0] += f" (p = {at.p:,})"
    return ", ".join(words)


def _listed(words: Sequence[str]) -> str:
    shown = list(words[:_LISTED])
    if len(words) > _LISTED:
        return ", ".join(shown) + f" and {len(words) - _LISTED} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"
