"""Builds a store of many runs, and times questions to it, each in a process of its own.

Used by `bench_store.py`, which also starts it as a script: `store_queries.py STORE QUESTION` asks once more than it
is told, in one process, and prints seconds and peak memory as JSON.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.attempts.records import AttemptRecord, Process
from tausweep.storage.files.records import SCHEMA_VERSION, write_record
from tausweep.storage.layout import PartName, StoreLayout
from tausweep.storage.tables.part_writer import write_table
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.schemas import METRICS
from tausweep.storage.tables.sql import query

METRIC_NAMES = ("f_mem", "frechet_pca", "test_loss", "train_loss", "d1_median")
SQL = {
    "by run": "SELECT run_id, max(value) AS top FROM metrics WHERE metric = 'f_mem' GROUP BY run_id",
    "by tau": "SELECT tau, avg(value) AS mean FROM metrics WHERE metric = 'f_mem' GROUP BY tau",
}
ONE_RUN = "one run"
QUESTIONS = (*SQL, ONE_RUN)
REPEATS = 3  # warm, after the first


def build(store: Path, runs: int, evaluations: int, parts: int) -> None:
    """Write a store of finished runs, as workers leave it; nothing is synced, for nothing but reading is timed.

    Args:
        store: a new folder.
        runs: how many.
        evaluations: of each run, one row a metric; the metrics are `METRIC_NAMES`.
        parts: files that the rows of a run are divided into. A worker makes one an evaluation.
    """
    tau = np.unique(np.geomspace(1, 10**6, 2 * evaluations).astype(np.int64))[:evaluations]
    assert len(tau) == evaluations
    half = runs // 2
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_build, [store] * 2, [range(half), range(half, runs)], [tau] * 2, [parts] * 2))
    layout = StoreLayout(store)
    write_record(layout.sweep("benchmark"), {"run_ids": layout.run_ids(), "updated": time.time()})


def _build(store: Path, seeds: range, tau: np.ndarray, parts: int) -> None:
    layout = StoreLayout(store)
    settings = {
        "data": "digits",
        "fingerprint": "benchmark",
        "n": 64,
        "W": 8,
        "lr": 1e-3,
        "batch": 64,
        "steps": 10**6,
    }
    process = Process(host="elsewhere", pid=1, started=0.0, namespace="")
    for seed in seeds:
        spec = RunSpec.from_settings(settings | {"seed": seed})
        run = layout.run(spec.run_id)
        for folder in (run.attempts, run.table("metrics")):
            folder.mkdir(parents=True)
        record = {"schema": SCHEMA_VERSION, "run_id": spec.run_id, "p": 4321, "settings": spec.settings()}
        run.spec.write_text(json.dumps(record))
        attempt = AttemptRecord(
            attempt=1,
            state="succeeded",
            started=1.0,
            ended=2.0,
            process=process,
            resumed_from_tau=0,
            tau=10**6,
        )
        run.attempt(1).write_text(json.dumps({"schema": SCHEMA_VERSION, **attempt.model_dump(mode="json")}))
        value = np.random.default_rng(seed).random((len(tau), len(METRIC_NAMES)))
        for seq, chosen in enumerate(np.array_split(np.arange(len(tau)), parts)):
            with run.part("metrics", PartName(attempt=1, seq=seq)).open("wb") as file:
                write_table(rows(spec.run_id, tau[chosen], value[chosen]), file)


def rows(run_id: str, tau: np.ndarray, value: np.ndarray) -> pa.Table:
    """Rows of table metrics: value (taus, metrics) float64, in the order of the table's key."""
    tau = np.repeat(tau, len(METRIC_NAMES))
    order = sorted(range(len(METRIC_NAMES)), key=METRIC_NAMES.__getitem__)
    columns = {
        "run_id": [run_id] * len(tau),
        "attempt": np.ones(len(tau), np.int32),
        "tau": tau,
        "images_seen": 64 * tau,
        "t": pa.nulls(len(tau), pa.float64()),
        "metric": [METRIC_NAMES[i] for i in order] * (len(tau) // len(METRIC_NAMES)),
        "value": value[:, order].ravel(),
        "wall_time": 1.7e9 + tau,
    }
    return pa.table(columns, schema=METRICS)


def fill_mlflow(uri: str, runs: int, evaluations: int) -> None:
    """Log as many runs, evaluations and metrics into MLflow as `build` writes; up to 1,000 values a call."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("sweep").experiment_id
    for seed in range(runs):
        run_id = client.create_run(experiment).info.run_id
        value = np.random.default_rng(seed).random((evaluations, len(METRIC_NAMES)))
        metrics = [
            Metric(name, float(value[tau, i]), 0, tau)
            for tau, (i, name) in product(range(evaluations), enumerate(METRIC_NAMES))
        ]
        for first in range(0, len(metrics), 1000):
            client.log_batch(run_id, metrics=metrics[first : first + 1000])


def _ask_ours(store: str, question: str) -> Callable[[], int]:
    layout = StoreLayout(Path(store))
    if question == ONE_RUN:
        run_id = layout.run_ids()[0]
        return lambda: read_table(layout, "metrics", [run_id]).num_rows
    return lambda: query(layout, SQL[question]).num_rows


def _ask_mlflow(uri: str, question: str) -> Callable[[], int]:
    """MLflow has no group-by: all runs are searched, page by page, and the history of the metric is asked for each."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("sweep").experiment_id

    def found() -> list[str]:
        run_ids, token = [], None
        while token is not None or not run_ids:
            page = client.search_runs([experiment], "metrics.f_mem >= 0", max_results=5000, page_token=token)
            run_ids += [run.info.run_id for run in page]
            token = page.token
            if token is None:
                break
        return run_ids

    def by_run() -> int:
        return len({r: max(m.value for m in client.get_metric_history(r, "f_mem")) for r in found()})

    def by_tau() -> int:
        values: dict[int, list[float]] = {}
        for run_id in found():
            for metric in client.get_metric_history(run_id, "f_mem"):
                values.setdefault(metric.step, []).append(metric.value)
        return len({tau: statistics.fmean(v) for tau, v in values.items()})

    def one_run() -> int:
        return sum(len(client.get_metric_history(one, name)) for name in METRIC_NAMES)

    one = found()[0] if question == ONE_RUN else ""
    return {"by run": by_run, "by tau": by_tau, ONE_RUN: one_run, "last values": lambda: len(found())}[
        question
    ]


def ask(store: str, question: str, repeats: int) -> dict[str, float]:
    """Ask in a new process: seconds of the first answer and the median of those after it, rows, peak MiB."""
    command = [sys.executable, "-m", __spec__.name, store, question, str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def time_command(store: Path, question: str) -> float:
    """Seconds of the whole command `tausweep query`."""
    command = [
        sys.executable,
        "-m",
        "tausweep",
        "query",
        SQL[question],
        "--format",
        "csv",
        "--store",
        str(store),
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Answer one question several times."""
    store, question, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    answer = (_ask_mlflow if "://" in store else _ask_ours)(store, question)
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        count = answer()
        seconds.append(time.perf_counter() - start)
    # Not getrusage: what the parent had before the exec counts there (Linux).
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    result = {"first": seconds[0], "warm": statistics.median(seconds[1:]), "rows": count, "peak_mib": peak}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
