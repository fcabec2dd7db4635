"""Draws what `bench_store.py` measured: flushes a second, and seconds a question takes; knows no contender's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tausweep.orchestrator.figures.style import STYLE

COLOURS = {
    "tausweep": "#0072B2",
    "tausweep, unsynced": "#56B4E9",
    "tausweep, compacted": "#0072B2",
    "tausweep, uncompacted": "#56B4E9",
    "delta": "#D55E00",
    "delta, a table a writer": "#E69F00",
    "mlflow": "#009E73",
}
"""Okabe & Ito's, as in the other figures."""


def draw(results: dict[str, Any], goals: dict[str, float], path: Path) -> None:
    """Two panels of bars on logarithmic axes: more is better on the left, less on the right."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 5.4))
        left, right = figure.subplots(1, 2)
        _draw_writing(left, results["writing"], goals)
        _draw_questions(right, results["questions"], goals)
        figure.savefig(path)


def _bar(axes: Axes, place: float, value: float, contender: str, label: str) -> None:
    axes.barh(place, value, height=0.8, color=COLOURS[contender])
    axes.annotate(label, (value, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)


def _frame(axes: Axes, ticks: dict[float, str], largest: float, smallest: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(smallest / 2, 8 * largest)  # room for the numbers
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()


def _heading(axes: Axes, place: float, text: str) -> None:
    where = axes.get_yaxis_transform()  # x in parts of the axis, y as the bars
    axes.annotate(
        text, (0, place - 0.85), xycoords=where, xytext=(4, 0), textcoords="offset points", va="center"
    )


def _draw_writing(axes: Axes, rows: list[dict[str, Any]], goals: dict[str, float]) -> None:
    place, ticks, written = 0.0, {}, [r for r in rows if r["flushes_a_second"] > 0]
    wanted = {"delta": goals["commits/s, ours : delta"], "mlflow": goals["rows/s, ours : mlflow"]}
    for table, writers in dict.fromkeys((r["table"], r["writers"]) for r in written):
        group = [r for r in written if (r["table"], r["writers"]) == (table, writers)]
        ours = next((r["flushes_a_second"] for r in group if r["contender"] == "tausweep"), None)
        _heading(axes, place, f"{table}, {writers} writer{'s' * (writers > 1)}")
        for row in group:
            rate, name = row["flushes_a_second"], row["contender"]
            label = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            if not name.startswith("tausweep") and ours is not None:
                goal = f", goal {wanted[name]:g}×" if name in wanted else ""
                label += f"  (ours {ours / rate:.1f}×{goal})"
            _bar(axes, place, rate, name, label)
            ticks[place] = name
            place += 1
        place += 0.9
    rates = [r["flushes_a_second"] for r in written]
    _frame(axes, ticks, 3 * max(rates), min(rates))
    axes.set_xlabel("flushes a second")
    axes.set_title("Writing (more is better)", loc="left")


def _draw_questions(axes: Axes, rows: list[dict[str, Any]], goals: dict[str, float]) -> None:
    place, ticks = 0.0, {}
    largest = max(r["runs"] for r in rows)
    for runs, question in dict.fromkeys((r["runs"], r["question"]) for r in rows):
        group = [r for r in rows if (r["runs"], r["question"]) == (runs, question)]
        _heading(axes, place, f"{runs:,} runs: {question}")
        for row in group:
            goal = goals.get(row["contender"].removeprefix("tausweep, ") + ", s")
            judged = goal is not None and runs == largest and question != "one run"
            label = f"{row['warm']:.3g} s" + (f"  (goal {goal:g} s)" if judged else "")
            _bar(axes, place, row["warm"], row["contender"], label)
            ticks[place] = row["contender"]
            place += 1
        place += 0.9
    seconds = [r["warm"] for r in rows]
    _frame(axes, ticks, 3 * max(seconds), min(seconds))
    axes.set_xlabel("seconds")
    axes.set_title("Asking, in one process (less is better)", loc="left")
