"""Writes an answer of the store as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from storage.atomic import publish
from storage.errors import InputError, nearest

FORMATS = ("table", "csv", "json", "parquet")
_SHOWN = 1000


def write_answer(answer: pa.Table, form: str, out: Path | None) -> None:
    """Print an answer, or write it to a file.

    Raises:
        InputError: no such format, or Parquet to a terminal.
    """
    if form not in FORMATS:
        raise InputError(f"--format {form}: {nearest(form, FORMATS)}")
    if form == "table" and out is None:
        _print_table(answer)
        return
    if form == "table":
        raise InputError("--out: give --format csv, json or parquet with it")
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise InputError("--format parquet: binary; give --out FILE, or redirect the output")
    writers: dict[str, Callable[[BinaryIO], object]] = {
        "csv": lambda file: pacsv.write_csv(_flat(answer), file),
        "json": lambda file: file.write(_json(answer)),
        "parquet": lambda file: pq.write_table(answer, file, compression="zstd"),
    }
    if out is None:
        writers[form](sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        publish(out, writers[form])


def _print_table(answer: pa.Table) -> None:
    from orchestrator.output import console, print_table

    rows = answer.slice(0, _SHOWN).to_pylist()
    print_table(answer.column_names, [list(row.values()) for row in rows])
    if answer.num_rows > _SHOWN:
        console.print(f"… and {answer.num_rows - _SHOWN} more rows; --format csv prints all")


def _flat(answer: pa.Table) -> pa.Table:
    """CSV has no lists: they are written as JSON."""
    for index, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type):
            values = [None if v is None else json.dumps(v) for v in answer.column(index).to_pylist()]
            answer = answer.set_column(index, field.name, pa.array(values, pa.string()))
    return answer


def _json(answer: pa.Table) -> bytes:
    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and value != value else value  # SQL's own NaN, of 0.0/0.0

    rows = [{key: plain(value) for key, value in row.items()} for row in answer.to_pylist()]
    return (json.dumps(rows, indent=1, default=str) + "\n").encode()
