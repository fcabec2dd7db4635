"""The store's JSON records as tables: runs, attempts, sweeps, and the cuts of the attempt rule.

Called by the reader (`storage.tables.scan`) and the SQL views (`storage.tables.sql`); knows nothing of
Parquet parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from tausweep.storage.attempts.records import AttemptRecord, read_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.object_store import each
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import StoreLayout

_RUN_COLUMNS: dict[str, pa.DataType] = {
    "run_id": pa.string(),
    "state": pa.string(),
    "attempt": pa.int64(),
    "tau": pa.int64(),
    "failure": pa.string(),
    "error": pa.string(),
    "p": pa.int64(),
}
_ATTEMPT_COLUMNS: dict[str, pa.DataType] = {
    "run_id": pa.string(),
    "attempt": pa.int64(),
    "state": pa.string(),
    "started": pa.float64(),
    "ended": pa.float64(),
    "seconds": pa.float64(),
    "host": pa.string(),
    "pid": pa.int64(),
    "job_id": pa.string(),
    "resumed_from_tau": pa.int64(),
    "tau": pa.int64(),
    "failure": pa.string(),
    "error": pa.string(),
    "retry": pa.bool_(),
    "damaged_checkpoints": pa.list_(pa.int64()),
    "saving_seconds": pa.float64(),
    "scheduler_state": pa.string(),
}
_SWEEP_COLUMNS: dict[str, pa.DataType] = {
    "sweep": pa.string(),
    "run_id": pa.string(),
    "updated": pa.float64(),
}


def _table(rows: Sequence[dict[str, Any]], known: dict[str, pa.DataType]) -> pa.Table:
    """Rows of JSON values as a table; unknown columns take the type of their values."""
    names = dict.fromkeys(known) | dict.fromkeys(name for row in rows for name in row)
    arrays = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name not in known and len({type(v) for v in values if v is not None}) > 1:
            values = [None if v is None else str(v) for v in values]  # batch: 64 beside "min(512, n)"
        arrays[name] = pa.array(values, type=known.get(name))
    return pa.table(arrays)


def runs_table(layout: StoreLayout, run_ids: Iterable[str] | None = None) -> pa.Table:
    """One row per run: id, state, p and the flat settings as columns (null where a run lacks a setting)."""

    def row(run_id: str) -> dict[str, Any] | None:
        run = layout.run(run_id)
        if not run.spec.exists():
            return None
        spec = read_record(run.spec, "p", "settings")
        status = run_status(run)
        return {
            "run_id": run_id,
            "state": status.state,
            "attempt": status.attempt,
            "tau": status.tau,
            "failure": status.failure,
            "error": status.error,
            "p": spec["p"],
            **spec["settings"],
        }

    rows = each(layout.root, row, layout.run_ids() if run_ids is None else run_ids)
    return _table([row for row in rows if row is not None], _RUN_COLUMNS)


def _attempts(layout: StoreLayout, run_ids: Iterable[str]) -> Iterator[tuple[str, AttemptRecord]]:
    def records(run_id: str) -> list[tuple[str, AttemptRecord]]:
        run = layout.run(run_id)
        return [(run_id, read_attempt(run, number)) for number in run.attempt_numbers()]

    return chain.from_iterable(each(layout.root, records, run_ids))


def attempts_table(layout: StoreLayout, run_ids: Iterable[str]) -> pa.Table:
    """One row per attempt: its record without the traceback, and the scalar values of its provenance."""
    rows = []
    for run_id, record in _attempts(layout, run_ids):
        row = record.model_dump(mode="json", exclude={"process", "provenance", "traceback", "retries"})
        row["run_id"] = run_id
        row["host"], row["pid"] = record.process.host, record.process.pid
        row["seconds"] = None if record.ended is None else record.ended - record.started
        row |= {
            key: value
            for key, value in record.provenance.items()
            if isinstance(value, str | int | float | bool)
        }
        rows.append(row)
    return _table(rows, _ATTEMPT_COLUMNS)


def sweeps_table(layout: StoreLayout) -> pa.Table:
    """One row per sweep and run."""
    rows = [
        {"sweep": name, "run_id": run_id, "updated": record["updated"]}
        for name in layout.sweep_names()
        for record in [read_record(layout.sweep(name), "run_ids", "updated")]
        for run_id in record["run_ids"]
    ]
    return _table(rows, _SWEEP_COLUMNS)


def cuts_table(layout: StoreLayout, run_ids: Iterable[str]) -> pa.Table:
    """For each attempt the last tau whose rows count: the smallest tau from which a later attempt resumed.

    Call it after reading the rows: a later attempt records where it resumes before it writes rows.
    """

    def cuts_of(run_id: str) -> dict[tuple[str, int], int]:
        run = layout.run(run_id)
        numbers = run.attempt_numbers()
        cuts = {}
        lowest: int | None = None
        for number in reversed(numbers if len(numbers) > 1 else []):
            if lowest is not None:
                cuts[run_id, number] = lowest
            resumed = read_attempt(run, number).resumed_from_tau
            if resumed is not None:
                lowest = resumed if lowest is None else min(lowest, resumed)
        return cuts

    cuts = {key: tau for of_run in each(layout.root, cuts_of, run_ids) for key, tau in of_run.items()}
    columns = {
        "run_id": [run_id for run_id, _ in cuts],
        "attempt": [attempt for _, attempt in cuts],
        "last_tau": list(cuts.values()),
    }
    kinds = [("run_id", pa.string()), ("attempt", pa.int64()), ("last_tau", pa.int64())]
    return pa.table(columns, schema=pa.schema(kinds))
