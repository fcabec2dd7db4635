"""A FitResult as tables on a terminal.

Called by the command line; computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from tausweep.orchestrator.analysis.runs.grouping import condition_of, group_of, width_axis, width_words
from tausweep.orchestrator.analysis.runs.results import Fit, FitResult, Law
from tausweep.orchestrator.analysis.runs.wording import interval, median, no_fit, regime, with_interval
from tausweep.orchestrator.terminal import console


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
        console.console.print(sentence, soft_wrap=True)
    console.console.print()
    names = result.criteria if everything else chosen or _firsts(result)
    _print_laws_over_n(result, [fit for fit in result.fits if fit.criterion in names])
    if everything:
        _print_laws_over_widths(result)
        _print_competitions(result)
        _print_phases(result)
        _print_classes(result)
    for fit in result.fits:
        if fit.interval_note and fit.criterion in names:
            console.console.print(
                f"note: {fit.criterion}, {width_words(fit)}, {group_of(fit)}: {fit.interval_note}"
            )
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
    console.print_table(
        ["criterion", axis, "runs", "p", "exponent of n", "95 % interval", "tau/n", "points", "censored",
         "p(=1)", "p(=0)"],
        [
            [fit.criterion, fit.W, group_of(fit), fit.p, _exponent(fit), interval(fit.exponent),
             fit.prefactor.estimate, fit.n_points, fit.n_censored, *_p_values(fit)]
            for fit in fits
        ],
        title=f"Laws of sweep {result.sweep} ({how}): tau = a·n^exponent; tau/n is the prefactor at exponent 1; p of the "
        "tests that the exponent is 1 or 0",
    )  # fmt: skip


def _print_laws_over_widths(result: FitResult) -> None:
    if not result.laws:
        return
    axis = width_axis(result.runs)
    console.console.print()
    console.print_table(
        ["criterion", "of", "exponent of n", "95 % interval", f"exponent of 1/{axis}", "95 % interval", "points", "censored"],
        [
            [law.criterion, "; ".join(law.groups), _exponent(law), interval(law.exponent),
             law.width_exponent.estimate, interval(law.width_exponent), law.n_points, law.n_censored]
            for law in result.laws
        ],
        title=f"Over all widths: tau = a·n^exponent·{axis}^−gamma",
    )  # fmt: skip


def _print_competitions(result: FitResult) -> None:
    if not result.competitions:
        return
    console.console.print()
    console.print_table(
        ["criterion", width_axis(result.runs), "law", "ΔAICc", "rejected", "parameters"],
        [
            [one.criterion, ", ".join(map(str, one.W_values)), law.law, law.delta_aicc, "yes" if law.rejected else "",
             law.reason or "; ".join(f"{name} = {with_interval(value)}" for name, value in law.parameters.items())]
            for one in result.competitions
            for law in one.laws
        ],
        title="Laws that compete for the same runs; rejected above ΔAICc = 6",
    )  # fmt: skip


def _print_notes(result: FitResult) -> None:
    for note in result.notes:
        console.console.print(f"note: {note}", soft_wrap=True)


def _print_phases(result: FitResult) -> None:
    axis = width_axis(result.runs)
    console.console.print()
    console.print_table(
        ["n", axis, "p", "runs", "state", "tau_mem", "tau_gen", "budget", "memorising runs"],
        [
            [point.n, point.W, point.p, group_of(point), point.state, point.tau_mem, point.tau_gen, point.budget,
             f"{point.n_crossed}/{point.n_runs}"]
            for point in result.phase_diagram
        ],
        title=f"Phase diagram by {result.criteria[0]}" if result.criteria else "Phase diagram",
    )  # fmt: skip
    last = [boundary for boundary in result.boundaries if boundary.budget == result.budgets[-1]]
    if not last:
        return
    console.console.print()
    console.print_table(
        [axis, "p", "runs", "n*", "95 % interval", "memorising runs", "without end of training", "95 % interval", ""],
        [
            [at.W, at.p, group_of(at), at.n_star.estimate, interval(at.n_star), f"{at.n_memorising}/{at.n_runs}",
             line.n_star.estimate, interval(line.n_star), line.verdict]
            for at, line in zip(last, result.lines, strict=True)
        ],
        title=f"Boundary n*(p) by {last[0].criterion}, at tau = {last[0].budget}",
    )  # fmt: skip


def _print_classes(result: FitResult) -> None:
    if not result.by_class:
        return
    console.console.print()
    console.print_table(
        ["n", width_axis(result.by_class), "runs", "class", "images", "tau_mem", "95 % interval", "crossed", "censored"],
        [
            [at.n, at.W, group_of(at), at.label, at.images, median(at), interval(at.tau),
             at.n_points, at.n_censored]
            for at in sorted(result.by_class, key=lambda at: (condition_of(at), at.n, at.label))
        ],
        title=f"By class: median tau_mem by {result.regimes[0].criterion} of the samples of each class",
    )  # fmt: skip
    for classes in result.regimes:
        where = ", ".join([f"n = {classes.n}, {width_words(classes)}", group_of(classes)])
        console.console.print(f"{where}: {regime(classes)}")


def _exponent(law: Fit | Law) -> float | str | None:
    return no_fit(law) or law.exponent.estimate


def _p_values(fit: Fit) -> list[float | None]:
    p_values = {comparison.hypothesis: comparison.p_value for comparison in fit.comparisons}
    return [p_values.get("exponent = 1"), p_values.get("exponent = 0")]
