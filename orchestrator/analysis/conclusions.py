"""What a person would say of a result: at most eight sentences, made from its numbers and nothing else.

Called by the resolver; the terminal and the report print them first. A sentence that has nothing to say is left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from tausweep.orchestrator.analysis.runs.grouping import group_of, width_words
from tausweep.orchestrator.analysis.runs.results import (
    ArchitecturalLine,
    Boundary,
    Comparison,
    Fit,
    FitResult,
    Law,
)
from tausweep.orchestrator.analysis.runs.wording import with_interval

_LEVEL = 0.05  # of tests, below which a law is said to be rejected
_LISTED = 4  # conditions that a sentence names one by one
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
    sizes = sorted({run.n for run in runs})
    widths = list(dict.fromkeys(width_words(run) for run in sorted(runs, key=lambda run: run.W)))
    n = f"n = {sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
    count = f"{len(runs)} runs" if len(runs) > 1 else "One run"
    budget = max(run.budget for run in runs)
    yield f"{count} of sweep {result.sweep} count: {n} at {_listed(widths)}, up to tau = {budget:,}."


def _growth_of_tau_mem(result: FitResult) -> Iterator[str]:
    """By the first criterion of tau_mem that has an exponent, or the reason why none has."""
    names = [fit.criterion for fit in result.fits if fit.quantity == "tau_mem"]
    with_exponent = [
        f.criterion for f in result.fits if f.quantity == "tau_mem" and f.exponent.estimate is not None
    ]
    chosen = _first(result, with_exponent) or _first(result, names)
    if chosen:
        yield f"tau_mem {_growth(result, chosen)}."


def _growth_of_tau_gen(result: FitResult) -> Iterator[str]:
    chosen = _first(result, [fit.criterion for fit in result.fits if fit.quantity == "tau_gen"])
    if chosen:
        yield f"tau_gen {_growth(result, chosen)}."


def _first(result: FitResult, names: Sequence[str]) -> str | None:
    return next((name for name in result.criteria if name in names), None)


def _growth(result: FitResult, criterion: str) -> str:
    """How the time of one criterion goes with n: over all widths if there is one law of them, else by condition."""
    joint = [law for law in result.laws if law.criterion == criterion and law.exponent.estimate is not None]
    laws: list[Fit | Law] = [law for law in joint if len(law.groups) == 1 and len(joint) == 1]
    laws = laws or [fit for fit in result.fits if fit.criterion == criterion]
    by = _by(result, criterion)
    known = [law for law in laws if law.exponent.estimate is not None]
    if not known:
        reasons = [
            f"{law.reason}{f' at {_where(result, law)}' if isinstance(law, Fit) and len(laws) > 1 else ''}"
            for law in laws
        ]
        return f"by {by} has no exponent: {_listed(list(dict.fromkeys(reasons)))}"
    powers = []
    for law in known:
        where = f" at {_where(result, law)}" if isinstance(law, Fit) and len(known) > 1 else ""
        width = ""
        if isinstance(law, Law) and law.width_exponent.estimate is not None:
            width = f" and like 1/W^{with_interval(law.width_exponent)}"
        powers.append(f"n^{with_interval(law.exponent)}{width}{where}")
    signs = {(law.exponent.estimate or 0) > 0 for law in known}
    verb = "goes" if len(signs) > 1 else "grows" if True in signs else "falls"
    words = f"{verb} like {_listed(powers)} (by {by})"
    if all(law.exponent.low is None and law.exponent.high is None for law in known):
        words += ", without an interval: too few runs crossed"
    if len(known) > 1:
        return words
    tests = [
        word
        for hypothesis, name in (("exponent = 1", "proportional to n"), ("exponent = 0", "constant"))
        if (word := _tested(known[0].comparisons, hypothesis, name))
    ]
    flat = next((c for c in known[0].comparisons if c.hypothesis == "exponent = 0"), None)
    if flat is not None and flat.p_value >= _LEVEL:
        words = f"may be the same at every n: the fit is {_listed(powers)} (by {by})"
    return f"{words}: {', '.join(tests)}" if tests else words


def _tested(comparisons: Sequence[Comparison], hypothesis: str, name: str) -> str | None:
    of_it = next((one for one in comparisons if one.hypothesis == hypothesis), None)
    if of_it is None:
        return None
    return f"{name} is {'rejected' if of_it.p_value < _LEVEL else 'not rejected'}"


def _by(result: FitResult, criterion: str) -> str:
    sampled = criterion.startswith(("f_mem", "frechet", "fid"))
    return f"{criterion}, samples by {result.sampler}" if sampled and result.sampler else criterion


def _best_law(result: FitResult) -> Iterator[str]:
    """Of the laws that compete: those over all widths, or those of the one condition."""
    first = _first(result, [one.criterion for one in result.competitions])
    fitted = [one for one in result.competitions if one.criterion == first and one.laws[0].aicc is not None]
    joint = [one for one in fitted if len(one.W_values) > 1]
    chosen = joint or fitted
    if len(chosen) == 1:
        yield f"Of the laws that compete for tau_mem by {first}, {chosen[0].verdict}."


def _boundary(result: FitResult) -> Iterator[str]:
    last = [at for at in result.boundaries if at.budget == result.budgets[-1]]
    known = [at for at in last if at.n_star.estimate is not None]
    if known:
        values = [f"{with_interval(at.n_star)} at {_where(result, at)}" for at in known]
        yield f"Within tau = {last[0].budget:,} half of the runs memorise at n* = {_listed(values)}."
    elif last and last[0].reason:
        yield f"n* within tau = {last[0].budget:,} has no estimate: {last[0].reason}."


def _line(result: FitResult) -> Iterator[str]:
    converged = [line for line in result.lines if line.converged]
    open_lines = [line for line in result.lines if not line.converged]
    parts = []
    if converged:
        values = [f"n* = {with_interval(line.n_star)} at {_where(result, line)}" for line in converged]
        parts.append(f"The architectural line has converged: {_listed(values)}")
    if open_lines:
        reasons: dict[str, list[str]] = {}
        for line in open_lines:
            reasons.setdefault(line.verdict.removeprefix(_PREFIX), []).append(_where(result, line))
        words = [f"{_listed(where)} ({reason})" for reason, where in reasons.items()]
        parts.append(f"{'not yet' if converged else 'No architectural line has converged yet'} at {_listed(words)}")  # fmt: skip
    if parts:
        yield "; ".join(parts) + "."


def _censored(result: FitResult) -> Iterator[str]:
    first = result.criteria[0] if result.criteria else ""
    crossings = [run.crossings[first] for run in result.runs if first in run.crossings]
    late = sum(crossing.censored == "right" for crossing in crossings)
    early = sum(crossing.censored == "left" for crossing in crossings)
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
    """What would tell most, with a command to paste."""
    sweep = shlex.quote(result.sweep)
    first = result.criteria[0] if result.criteria else ""
    crossings = [run.crossings[first] for run in result.runs if first in run.crossings]
    if not crossings:
        yield f"Next: `tausweep report {sweep}` draws what was measured."
    elif all(crossing.censored == "right" for crossing in crossings):
        yield f"Next: no run reached {first}, so train longer: raise `steps` in the sweep file, for example to {2 * max(run.budget for run in result.runs)}."
    elif len({run.n for run in result.runs}) < 3:
        largest = max(run.n for run in result.runs)
        yield f"Next: a law needs at least three n: add {2 * largest} and {4 * largest} to n in the sweep file."
    elif result.lines and all(line.converged for line in result.lines):
        yield f"Next: `tausweep report {sweep}` draws the line; more seeds would narrow it."
    else:
        yield f"Next: `tausweep refine {sweep} --runs {max(4, len(result.lines))}` names the runs that would tell most about n*."


def _where(result: FitResult, at: ArchitecturalLine | Boundary | Fit) -> str:
    """A condition by its width, and by what else tells it from the others."""
    groups = {group_of(run) for run in result.runs}
    words = width_words(at)
    if at.width_axis == "W":
        words += f" (p = {at.p:,})"
    return words if len(groups) == 1 else f"{words}, {', '.join([group_of(at)])}"


def _listed(words: Sequence[str]) -> str:
    shown = list(words[:_LISTED])
    if len(words) > _LISTED:
        return ", ".join(shown) + f" and {len(words) - _LISTED} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"
