"""The tables of the report, as words.

Called by the report; computes nothing. What is not known is a dash, and an interval that is open ends in ∞.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from tausweep.orchestrator.analysis.runs.grouping import condition_of, group_of, width_axis
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import Comparison, Fit, Law, Timescale
from tausweep.orchestrator.analysis.runs.wording import SIGNS, no_fit, number, regime, with_interval
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.report.plot_data import label

_LONGEST = 160  # characters of a provenance


class Table(NamedTuple):
    """Columns, rows of text, and what to say if there is no row."""

    columns: list[str]
    rows: list[list[str]]
    empty: str = ""


def headline(study: Study, tau_mem: str, tau_gen: str) -> Table:
    """One row per condition: its exponents and its boundary."""
    result, rows = study.result, []
    for condition in sorted({condition_of(run) for run in result.runs}):
        exponents = [
            next((f for f in result.fits if f.criterion == name and condition_of(f) == condition), None)
            for name in (tau_mem, tau_gen)
        ]
        bounds = [at for at in last_boundaries(result) if condition_of(at) == condition]
        ends = [line for line in result.lines if condition_of(line) == condition]
        rows.append(
            [
                label(study, condition),
                *(_exponent(fit) if fit else "–" for fit in exponents),
                f"{with_interval(bounds[0].n_star)} at τ = {bounds[0].budget:,}" if bounds else "–",
                (with_interval(ends[0].n_star) + ("" if ends[0].converged else " (not converged)"))
                if ends
                else "–",
            ]
        )
    heads = [
        "runs",
        f"exponent of n, {tau_mem}",
        f"exponent of n, {tau_gen}",
        "n*(p; τ) at the last τ",
        "n* without end",
    ]
    return Table(heads, rows)


def _exponent(law: Fit | Law) -> str:
    return no_fit(law) or with_interval(law.exponent)


def _median(timescale: Timescale) -> str:
    if timescale.censored is None:
        return with_interval(timescale.tau)
    return f"{SIGNS[timescale.censored]} {number(timescale.bound)}"


def _tested(comparisons: Sequence[Comparison], hypothesis: str) -> str:
    """Such as `0.34 (−1.2)`: p and ΔAICc of a simpler law."""
    test = next((comparison for comparison in comparisons if comparison.hypothesis == hypothesis), None)
    if test is None:
        return "–"
    delta = "" if test.delta_aicc is None else f" ({number(test.delta_aicc)})"
    return number(test.p_value) + delta


def _crossed(law: Fit | Law | Timescale) -> str:
    """Such as `7 of 8`."""
    return f"{law.n_points} of {law.n_points + law.n_censored}"


def fits(study: Study) -> Table:
    """The law of every criterion and condition."""
    columns = ["criterion", "runs", "exponent of n", "τ/n at exponent 1", "crossed", "σ of ln τ",
               "exponent 1", "exponent 0", "straight", "note"]  # fmt: skip
    rows = [
        [
            fit.criterion, label(study, condition_of(fit)), with_interval(fit.exponent), with_interval(fit.prefactor),
            _crossed(fit), number(fit.diagnostics.sigma if fit.diagnostics else None),
            _tested(fit.comparisons, "exponent = 1"), _tested(fit.comparisons, "exponent = 0"),
            number(fit.diagnostics.curvature_p_value if fit.diagnostics else None), no_fit(fit) or fit.interval_note or "",
        ]
        for fit in study.result.fits
    ]  # fmt: skip
    return Table(columns, rows, "No criterion was measured.")


def laws(study: Study) -> Table:
    """The laws over widths."""
    columns = ["criterion", "runs", "exponent of n, α", "exponent of 1/W, γ", "a", "crossed",
               "α = 1", "γ = 1", "one α for all", "note"]  # fmt: skip
    rows = [
        [
            law.criterion, "; ".join(law.groups), with_interval(law.exponent), with_interval(law.width_exponent),
            ", ".join(map(number, law.amplitudes)), _crossed(law),
            *(_tested(law.comparisons, name) for name in ("exponent = 1", "width exponent = 1", "one exponent for all")),
            no_fit(law) or law.interval_note or "",
        ]
        for law in study.result.laws
    ]  # fmt: skip
    return Table(columns, rows)


def competitions(study: Study) -> Table:
    """The laws that compete for the same runs, best first."""
    rows = [
        [
            one.criterion,
            f"{width_axis(study.result.runs)} = {', '.join(f'{W:,}' for W in one.W_values)}",
            law.law,
            number(law.delta_aicc),
            "rejected" if law.rejected else "",
            law.reason
            or "; ".join(f"{name} = {with_interval(value)}" for name, value in law.parameters.items()),
        ]
        for one in study.result.competitions
        for law in one.laws
    ]
    return Table(["criterion", "widths", "law", "ΔAICc", "", "parameters"], rows)


def collapses(study: Study) -> Table:
    """The collapse of each condition."""
    rows = [
        [label(study, condition_of(c)), number(c.score), number(c.unscaled), with_interval(c.exponent), number(c.best), c.reason or ""]
        for c in study.result.collapses
    ]  # fmt: skip
    return Table(["runs", "score in τ/n", "in τ", "best exponent", "score there", "note"], rows)


def medians(study: Study) -> Table:
    """The timescale of each criterion, condition and n."""
    rows = [
        [
            t.criterion, label(study, condition_of(t)), str(t.n),
            _median(t), _crossed(t),
        ]
        for t in study.result.timescales
    ]  # fmt: skip
    return Table(["criterion", "runs", "n", "median τ", "crossed"], rows)


def classes(study: Study) -> Table:
    """tau_mem of each class, and what regime that is."""
    regimes = {(condition_of(classes), classes.n): regime(classes) for classes in study.result.regimes}
    rows = [
        [
            label(study, condition_of(t)), str(t.n), str(t.label), number(t.images),
            _median(t), _crossed(t), regimes[condition_of(t), t.n],
        ]
        for t in sorted(study.result.by_class, key=lambda t: (condition_of(t), t.n, t.label))
    ]  # fmt: skip
    return Table(["runs", "n", "class", "its images", "median τ", "crossed", "regime"], rows)


def lines(study: Study) -> Table:
    """The architectural line of each condition."""
    rows = [
        [
            label(study, condition_of(line)),
            f"{line.p:,}",
            with_interval(line.n_star),
            number(line.growth),
            line.verdict,
        ]
        for line in study.result.lines
    ]
    return Table(["runs", "p", "n* without end of training", "d ln n* / d ln τ", "verdict"], rows)


def provenance(attempts: pa.Table) -> Table:
    """What executed the runs: every recorded version and machine, with the number of attempts."""
    hidden = {"run_id", "error", "traceback", "job_id", "failure", "state", "retry", "pid"}
    rows = []
    for field in attempts.schema:
        if field.name in hidden or not pa.types.is_string(field.type):
            continue
        counts = Counter(value for value in attempts[field.name].to_pylist() if value is not None)
        if counts:
            words = [
                f"{_brief(value)} ({count})" if len(counts) > 1 else _brief(value)
                for value, count in counts.most_common(8)
            ]
            rows.append([field.name, ", ".join(words) + (" …" if len(counts) > 8 else "")])
    return Table(["", "attempts"], rows, "No run has been executed.")


def _brief(text: str) -> str:
    """A text as it is, or its length and digest where it is as long as a diff is."""
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{len(text.splitlines())} lines, sha256 {digest}…; whole in the records of the attempts"


def settings(runs: pa.Table) -> Table:
    """Settings that have one value in all runs."""
    hidden = {"run_id", "state", "attempt", "tau", "failure", "error"}
    rows = []
    for name in runs.column_names:
        values = {str(value) for value in runs[name].to_pylist()}
        if name not in hidden and len(values) == 1 and values != {"None"}:
            rows.append([name, values.pop()])
    return Table(["setting", "value"], rows, "There is no run.")


def run_rows(study: Study, runs: pa.Table, tau_mem: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns of the table of runs, and its rows with the words by which they are found."""
    varying = [
        name
        for name in runs.column_names
        if name not in {"run_id", "state", "attempt", "tau", "failure", "error"}
        and len({str(value) for value in runs[name].to_pylist()}) > 1
    ]
    crossings = {run.run_id: run.crossings.get(tau_mem) for run in study.result.runs}
    rows = []
    for row in runs.to_pylist():
        crossing = crossings.get(row["run_id"])
        tau = "–"
        if crossing is not None:
            tau = SIGNS[crossing.censored] + number(
                crossing.tau if crossing.tau is not None else crossing.bound
            )
        cells = [
            row["run_id"],
            row["state"],
            *(_text(row[name]) for name in varying),
            _text(row.get("tau")),
            tau,
        ]
        words = [*(f"{name}={_text(row[name])}" for name in varying), row["run_id"], row["state"]]
        rows.append({"cells": cells, "words": [word.lower() for word in words]})
    return ["run", "state", *varying, "tau", tau_mem or "tau_mem"], rows


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def groups_of(study: Study) -> list[str]:
    """Optimizers, batches and settings of a study."""
    return sorted({group_of(run) for run in study.result.runs})
