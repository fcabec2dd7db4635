"""Our store against Delta Lake and MLflow: durable flushes a second, and questions to many runs.

    python -m tests.benchmarks.bench_store --json store.json --plot store.png

Needs the extra `bench`. Everything is written below `--scratch`, which should be on the disk that is meant (about
2 GB and 60,000 files at the default sizes), and removed again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tausweep.storage.layout import StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tests.benchmarks.store_figure import draw
from tests.benchmarks.store_queries import (
    ONE_RUN,
    QUESTIONS,
    REPEATS,
    SQL,
    ask,
    build,
    fill_mlflow,
    time_command,
)
from tests.benchmarks.store_writers import CONTENDERS, ROWS, database, write_round

GOALS = {
    "commits/s, ours : delta": 8.0,
    "rows/s, ours : mlflow": 25.0,
    "uncompacted, s": 2.0,
    "compacted, s": 0.2,
}
"""At least (the ratios of writing) and at most (the seconds of a group-by over one metric)."""


def parse() -> argparse.Namespace:
    """The sizes of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument(
        "--writers", nargs="+", type=int, default=[1, 16], help="processes that write together"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of writing, each contender and round")
    parser.add_argument("--rounds", type=int, default=3, help="in which the contenders take turns")
    parser.add_argument("--runs", type=int, default=10_000, help="of the store that is asked")
    parser.add_argument("--small-runs", type=int, default=1_000, help="of the stores asked beside MLflow's")
    parser.add_argument("--evaluations", type=int, default=100, help="of each of these runs")
    parser.add_argument(
        "--parts", type=int, default=4, help="files of each run; a worker makes one an evaluation"
    )
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()), help="a folder on the disk meant"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--plot", type=Path, help="draw the results into this file")
    return parser.parse_args()


def measure_writing(options: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Medians over the rounds, one row a table, number of writers and contender."""
    rows = []
    for table, writers in [(table, writers) for table in ROWS for writers in options.writers]:
        done: dict[str, list[Any]] = {name: [] for name in options.contenders}
        for _ in range(options.rounds):
            for name in options.contenders:
                done[name].append(write_round(name, table, writers, options.seconds, scratch))
        for name, rounds in done.items():
            rate = statistics.median(r.flushes / r.seconds for r in rounds)
            errors = sum(r.errors for r in rounds)
            row = {"table": table, "writers": writers, "contender": name, "flushes_a_second": rate}
            rows.append(row | {"rows_a_second": rate * ROWS[table], "errors": errors})
            print(
                f"{table:<11}{writers:>3} {name:<24}{rate:>10.1f} flushes/s {rate * ROWS[table]:>11.0f} rows/s"
                f"{errors:>6} errors",
                flush=True,
            )
    return rows


def measure_store(store: Path, options: argparse.Namespace, runs: int) -> list[dict[str, Any]]:
    """Ask a new store with and without its parts merged; it is removed."""
    rows = []
    build(store, runs, options.evaluations, options.parts)
    for state in ("uncompacted", "compacted"):
        if state == "compacted":
            start = time.perf_counter()
            compact(StoreLayout(store))
            print(f"{runs} runs compacted in {time.perf_counter() - start:.1f} s", flush=True)
        for question in QUESTIONS:
            command = time_command(store, question) if question in SQL else None
            answer = ask(str(store), question, REPEATS)
            rows.append(_report(f"tausweep, {state}", runs, question, answer, command))
    shutil.rmtree(store)
    return rows


def _report(
    contender: str, runs: int, question: str, answer: dict[str, float], command: float | None = None
) -> dict[str, Any]:
    told = "" if command is None else f"   whole command {command:.2f} s"
    print(
        f"{runs:>6} runs  {contender:<22}{question:<12} first {answer['first']:>8.3f} s  warm {answer['warm']:>8.3f} s"
        f"  peak {answer['peak_mib']:>6.0f} MiB  {answer['rows']:>6.0f} rows{told}",
        flush=True,
    )
    return {"contender": contender, "runs": runs, "question": question, **answer, "command": command}


def measure_mlflow(options: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """The same questions to MLflow at the small size, and the cheaper one for the last value of each run."""
    folder = scratch / "mlflow"
    folder.mkdir()
    CONTENDERS["mlflow"].prepare(folder, "metrics")
    start = time.perf_counter()
    fill_mlflow(database(folder), options.small_runs, options.evaluations)
    print(f"{options.small_runs} runs logged into MLflow in {time.perf_counter() - start:.1f} s", flush=True)
    rows = []
    for question in (*QUESTIONS, "last values"):
        rows.append(_report("mlflow", options.small_runs, question, ask(database(folder), question, 1)))
    shutil.rmtree(folder)
    return rows


def judge(results: dict[str, Any]) -> dict[str, float]:
    """What was reached of each goal: the worst of all numbers of writers, tables and questions."""
    reached = {}
    rate = {(r["table"], r["writers"], r["contender"]): r for r in results["writing"]}
    for goal, other, unit in (
        ("commits/s, ours : delta", "delta", "flushes_a_second"),
        ("rows/s, ours : mlflow", "mlflow", "rows_a_second"),
    ):
        ratios = [
            rate[table, writers, "tausweep"][unit] / row[unit]
            for (table, writers, name), row in rate.items()
            if name == other and row[unit] > 0 and (table, writers, "tausweep") in rate
        ]
        if ratios:
            reached[goal] = min(ratios)
    largest = max(r["runs"] for r in results["questions"])
    for state in ("uncompacted", "compacted"):
        reached[f"{state}, s"] = max(
            r["warm"]
            for r in results["questions"]
            if r["contender"] == f"tausweep, {state}" and r["runs"] == largest and r["question"] != ONE_RUN
        )
    return reached


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = parse()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["ALEMBIC_LOG_LEVEL"] = os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    scratch = Path(tempfile.mkdtemp(prefix="bench-store-", dir=options.scratch))
    try:
        results: dict[str, Any] = {
            "sizes": {name: str(value) for name, value in vars(options).items()},
            "versions": {d: importlib.metadata.version(d) for d in ("pyarrow", "duckdb")}
            | {d: importlib.metadata.version(_DISTRIBUTIONS[d]) for d in _others(options)},
            "writing": measure_writing(options, scratch),
            "questions": measure_store(scratch / "large", options, options.runs),
        }
        if "mlflow" in options.contenders:
            results["questions"] += measure_store(scratch / "small", options, options.small_runs)
            results["questions"] += measure_mlflow(options, scratch)
    finally:
        shutil.rmtree(scratch)
    results["reached"] = judge(results)
    for goal, value in results["reached"].items():
        bound = "at most" if goal.endswith(", s") else "at least"
        print(f"{goal}: {value:.2f}; goal {bound} {GOALS[goal]:g}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.plot:
        draw(results, GOALS, options.plot)


_DISTRIBUTIONS = {"delta": "deltalake", "mlflow": "mlflow"}


def _others(options: argparse.Namespace) -> list[str]:
    return [name for name in _DISTRIBUTIONS if name in options.contenders]


if __name__ == "__main__":
    main()
