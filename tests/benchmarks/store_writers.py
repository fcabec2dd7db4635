"""Writers that flush the same rows into our store, into Delta tables and into MLflow, as fast as each can.

Used by `bench_store.py`. Each contender is set up as its own documentation would have it for many small writes; a flush
counts when the call that makes it has returned.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tausweep.storage.layout import StoreLayout, TableName
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.schemas import SCHEMAS

Columns = Mapping[str, Any]
Flush = Callable[[Columns], None]

LOSSES = [(f"{kind}_loss", float(t)) for kind in ("train", "test") for t in range(50, 1000, 125)]
MEASURED = [("f_mem", None), ("frechet_pca", None), ("d1_median", None), ("d2_median", None), *LOSSES]
SAMPLES = 512
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["mlflow", "deltalake", "duckdb", "pyarrow.dataset"]
)  # else 16 slow imports a round


def evaluation(tau: int) -> Columns:
    """The 20 metrics of one evaluation."""
    count = len(MEASURED)
    return {
        "tau": [tau] * count,
        "images_seen": [64 * tau] * count,
        "t": [t for _, t in MEASURED],
        "metric": [metric for metric, _ in MEASURED],
        "value": [0.5 + 1e-3 * i for i in range(count)],
        "wall_time": [time.time()] * count,
    }


_D1 = np.random.default_rng(0).random(SAMPLES)


def nearest(tau: int) -> Columns:
    """The neighbours of 512 samples."""
    index = np.arange(SAMPLES, dtype=np.int32)
    return {
        "tau": np.full(SAMPLES, tau),
        "sample": index,
        "d1": _D1,
        "d2": _D1 + 1,
        "nn1": index,
        "nn2": index[::-1].copy(),
    }


FLUSHES: dict[TableName, Callable[[int], Columns]] = {"metrics": evaluation, "neighbours": nearest}
ROWS: dict[TableName, int] = {"metrics": len(MEASURED), "neighbours": SAMPLES}


class Contender(NamedTuple):
    """How to make an empty store in a folder, and how to open it for one of many writers."""

    prepare: Callable[[Path, TableName], None]
    open: Callable[[Path, TableName, int], Flush]
    failures: Callable[[], tuple[type[Exception], ...]]


def _nothing(folder: Path, table: TableName) -> None: ...


def _open_ours(folder: Path, table: TableName, number: int) -> Flush:
    """A run a writer, as in production: file and folder are synced."""
    writer = PartWriter(StoreLayout(folder).run(f"{number:020x}"), attempt=1)
    return partial(writer.publish, table)


def _open_ours_unsynced(folder: Path, table: TableName, number: int) -> Flush:
    """The same code without its syncs: what it costs beside Delta, which has none."""
    os.fsync = lambda descriptor: None
    return _open_ours(folder, table, number)


def _open_delta(folder: Path, table: TableName, number: int, *, shared: bool) -> Flush:
    """The table stays open, so that a commit reads only what is new in the log; uncompressed is fastest."""
    from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake

    path = folder if shared else folder / f"{number}"
    if not shared:
        _prepare_delta(path, table)
    delta = DeltaTable(path)
    fast = WriterProperties(compression="UNCOMPRESSED")
    patient = CommitProperties(max_commit_retries=200)
    schema = SCHEMAS[table]

    def flush(columns: Columns) -> None:
        count = len(columns["tau"])
        rows = pa.table(
            {"run_id": [f"{number:020x}"] * count, "attempt": [1] * count, **columns}, schema=schema
        )
        write_deltalake(delta, rows, mode="append", writer_properties=fast, commit_properties=patient)

    return flush


def _prepare_delta(folder: Path, table: TableName) -> None:
    from deltalake import write_deltalake

    write_deltalake(folder, SCHEMAS[table].remove_metadata().empty_table())


def _delta_failures() -> tuple[type[Exception], ...]:
    from deltalake.exceptions import CommitFailedError

    return (CommitFailedError,)


def database(folder: Path) -> str:
    """The tracking URI of an MLflow store in a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def _prepare_mlflow(folder: Path, table: TableName) -> None:
    """An empty database; its write-ahead log lets one writer go on while others read, and syncs once a commit."""
    from mlflow import MlflowClient

    template = folder.parent / "template"
    if not template.exists():
        template.mkdir()
        MlflowClient(database(template)).create_experiment("sweep", artifact_location=str(template))
        with closing(sqlite3.connect(template / "mlflow.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    shutil.copytree(template, folder, dirs_exist_ok=True)


def _open_mlflow(folder: Path, table: TableName, number: int) -> Flush:
    """A run a writer. A value a metric: a row of neighbours is four, told apart by their step."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(database(folder))
    run_id = client.create_run(client.get_experiment_by_name("sweep").experiment_id).info.run_id

    def flush(columns: Columns) -> None:
        now, tau = int(time.time() * 1000), int(columns["tau"][0])
        if table == "metrics":
            triples = zip(columns["metric"], columns["t"], columns["value"], strict=True)
            metrics = [Metric(m if t is None else f"{m}_t{t:g}", value, now, tau) for m, t, value in triples]
        else:
            metrics = [
                Metric(name, float(value), now, SAMPLES * tau + i)
                for name in ("d1", "d2", "nn1", "nn2")
                for i, value in enumerate(columns[name])
            ]
        for first in range(0, len(metrics), 1000):
            client.log_batch(run_id, metrics=metrics[first : first + 1000])

    return flush


def _mlflow_failures() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException

    return (MlflowException,)


CONTENDERS = {
    "tausweep": Contender(_nothing, _open_ours, tuple),
    "tausweep, unsynced": Contender(_nothing, _open_ours_unsynced, tuple),
    "delta": Contender(_prepare_delta, partial(_open_delta, shared=True), _delta_failures),
    "delta, a table a writer": Contender(_nothing, partial(_open_delta, shared=False), _delta_failures),
    "mlflow": Contender(_prepare_mlflow, _open_mlflow, _mlflow_failures),
}


@dataclass(frozen=True, kw_only=True)
class Round:
    """What some writers have done together: flushes that returned, calls that failed, seconds from first to last."""

    flushes: int
    errors: int
    seconds: float


def _write(
    name: str, table: TableName, folder: Path, number: int, seconds: float, barrier: Any, done: Any
) -> None:
    contender = CONTENDERS[name]
    failures = contender.failures()
    flush, columns = contender.open(folder, table, number), FLUSHES[table]
    flushes = errors = 0
    try:
        flush(columns(0))  # whatever is loaded at the first call
    except failures:
        errors += 1
    barrier.wait()
    start = time.monotonic()  # one clock for all processes of a machine
    while time.monotonic() < start + seconds:
        try:
            flush(columns(flushes + 1))
            flushes += 1
        except failures:
            errors += 1
    done.put((start, time.monotonic(), flushes, errors))


def write_round(name: str, table: TableName, writers: int, seconds: float, scratch: Path) -> Round:
    """Let so many processes write for so long into a new store.

    Args:
        name: one of `CONTENDERS`.
        table: what is flushed, see `FLUSHES`.
        writers: processes; they begin together.
        seconds: how long each writes; a flush that was begun is finished.
        scratch: a folder on the disk that is meant; what is written there is removed.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        CONTENDERS[name].prepare(folder, table)
        barrier, done = PROCESSES.Barrier(writers, timeout=300), PROCESSES.Queue()
        arguments = [(name, table, folder, number, seconds, barrier, done) for number in range(writers)]
        processes = [PROCESSES.Process(target=_write, args=a) for a in arguments]
        for process in processes:
            process.start()
        results = [done.get(timeout=600 + seconds) for _ in processes]
        for process in processes:
            process.join()
    finally:
        shutil.rmtree(folder)
    starts, ends, flushes, errors = zip(*results, strict=True)
    return Round(flushes=sum(flushes), errors=sum(errors), seconds=max(ends) - min(starts))
