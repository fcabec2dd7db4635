"""A FitResult as tables on a terminal, at most 100 characters wide.

Called by the command line; computes nothing. What is not known is a dash with a footnote that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tausweep.orchestrator.analysis.runs.grouping import condition_of, group_of, width_axis, width_words
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import Fit, FitResult, Law, Timescale
from tausweep.orchestrator.analysis.runs.wording import median, number, regime, with_interval
from tausweep.orchestrator.terminal import console
from tausweep.orchestrator.terminal.footnotes import Footnotes

_WIDTH = 100


def print_fits(result: FitResult, *, chosen: Sequence[str] = (), everything: bool = False) -> None:
    """Print what a person would say, the laws that were chosen, and the caveats.

    Args:
        result: of a sweep.
        chosen: names of criteria; the first of each quantity by default.
        everything: prints every table there is.
    """
    if not result.runs:
        console.console.print(f"{result.sweep}: no run has a measurement yet, there is nothing to fit")
        _print_notes(result)
        return
    for sentence in result.conclusions:
        console.print_text(sentence)
    console.console.print()
    names = result.criteria if everything else chosen or _firsts(result)
    _print_laws_over_n(result, [fit for fit in result.fits if fit.criterion in names])
    if everything:
        _print_laws_over_widths(result)
        _print_competitions(result)
        _print_phases(result)
        _print_classes(result)
    _print_notes(result)
    if not everything:
        console.console.print("--all prints every law, the phase diagram and the boundary.")


def _firsts(result: FitResult) -> list[str]:
    """The first criterion of each quantity that was measured."""
    firsts = {fit.quantity: fit.criterion for fit in reversed(_in_order(result))}
    return list(firsts.values())


def _in_order(result: FitResult) -> list[Fit]:
    return sorted(result.fits, key=lambda fit: result.criteria.index(fit.criterion))


def _print_laws_over_n(result: FitResult, fits: Sequence[Fit]) -> None:
    axis = width_axis(result.runs)
    how = f"k = {result.k:.4g}" + (", isotonic" if result.smoothing == "isotonic" else "")
    notes = Footnotes()
    _print(
        ["criterion", axis, "runs", "exponent of n", "tau/n", "crossed", "p(=1)", "p(=0)"],
        [
            [fit.criterion, fit.W, group_of(fit), _exponent(fit, notes), number(fit.prefactor.estimate), _crossed(fit),
             *_p_values(fit)]
            for fit in fits
        ],
        f"Laws of sweep {result.sweep} ({how}): tau = a·n^exponent with its 95 % interval. tau/n is the prefactor at "
        "exponent 1. crossed: runs with a crossing of all that were measured; the others are censored. p of the tests "
        "that the exponent is 1 or 0.",
        notes,
    )  # fmt: skip


def _print_laws_over_widths(result: FitResult) -> None:
    if not result.laws:
        return
    axis = width_axis(result.runs)
    console.console.print()
    notes = Footnotes()
    _print(
        ["criterion", "runs", "exponent of n", "gamma", "crossed"],
        [
            [law.criterion, "; ".join(law.groups), _exponent(law, notes), with_interval(law.width_exponent),
             _crossed(law)]
            for law in result.laws
        ],
        f"Over all widths: tau = a·n^exponent·{axis}^−gamma, with 95 % intervals",
        notes,
    )  # fmt: skip


def _print_competitions(result: FitResult) -> None:
    if not result.competitions:
        return
    console.console.print()
    notes = Footnotes()
    _print(
        ["criterion", width_axis(result.runs), "law", "ΔAICc", "rejected", "parameters"],
        [
            [one.criterion, ", ".join(map(str, one.W_values)), law.law, number(law.delta_aicc),
             "yes" if law.rejected else "",
             notes.dash(law.reason) if law.reason
             else "; ".join(f"{name} = {with_interval(value)}" for name, value in law.parameters.items())]
            for one in result.competitions
            for law in one.laws
        ],
        "Laws that compete for the same runs; rejected above ΔAICc = 6",
        notes,
    )  # fmt: skip


def _print_notes(result: FitResult) -> None:
    for note in result.notes:
        console.print_text(f"note: {note}")


def _print_phases(result: FitResult) -> None:
    axis = width_axis(result.runs)
    console.console.print()
    _print(
        ["n", axis, "p", "runs", "state", "tau_mem", "tau_gen", "budget", "memorising"],
        [
            [point.n, point.W, point.p, group_of(point), point.state, point.tau_mem, point.tau_gen, point.budget,
             f"{point.n_crossed}/{point.n_runs}"]
            for point in result.phase_diagram
        ],
        f"Phase diagram by {result.criteria[0]}" if result.criteria else "Phase diagram",
    )  # fmt: skip
    last = last_boundaries(result)
    if not last:
        return
    console.console.print()
    notes = Footnotes()
    _print(
        [axis, "p", "runs", "at tau", "n*", "memorising", "n* without end of training"],
        [
            [at.W, at.p, group_of(at), at.budget, with_interval(at.n_star), f"{at.n_memorising}/{at.n_runs}",
             f"{with_interval(line.n_star)} {notes.mark(line.verdict)}"]
            for at, line in zip(last, result.lines, strict=True)
        ],
        f"Boundary n*(p; tau) by {last[0].criterion} at the last tau of each, with 95 % intervals",
        notes,
    )  # fmt: skip


def _print_classes(result: FitResult) -> None:
    if not result.by_class:
        return
    console.console.print()
    _print(
        ["n", width_axis(result.by_class), "runs", "class", "images", "tau_mem", "crossed"],
        [
            [at.n, at.W, group_of(at), at.label, at.images, _median(at), _crossed(at)]
            for at in sorted(result.by_class, key=lambda at: (condition_of(at), at.n, at.label))
        ],
        f"By class: median tau_mem by {result.regimes[0].criterion} of the samples of each class, with 95 % intervals",
    )  # fmt: skip
    for classes in result.regimes:
        where = ", ".join([f"n = {classes.n}, {width_words(classes)}", group_of(classes)])
        console.print_text(f"{where}: {regime(classes)}")


def _print(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str, notes: Footnotes | None = None
) -> None:
    """Print a table with its footnotes; the descriptions of runs, and parameters, take several lines if they must."""
    console.print_table(columns, rows, title=title, wrap=("runs", "parameters"), width=_WIDTH)
    if notes is not None:
        notes.print(_WIDTH)


def _exponent(law: Fit | Law, notes: Footnotes) -> str:
    if law.reason is not None:
        return notes.dash(law.reason)
    mark = f" {notes.mark(law.interval_note)}" if law.interval_note else ""
    return with_interval(law.exponent) + mark


def _crossed(counted: Fit | Law | Timescale) -> str:
    return f"{counted.n_points}/{counted.n_points + counted.n_censored}"


def _median(timescale: Timescale) -> str:
    """The median with its interval, or `> 800` where only a bound is known."""
    return with_interval(timescale.tau) if timescale.censored is None else str(median(timescale))


def _p_values(fit: Fit) -> list[str]:
    p_values = {comparison.hypothesis: comparison.p_value for comparison in fit.comparisons}
    return [number(p_values.get(hypothesis)) for hypothesis in ("exponent = 1", "exponent = 0")]
