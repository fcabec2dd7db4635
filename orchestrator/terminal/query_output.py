"""Writes an answer of the store as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from tausweep.storage.errors import InputError, nearest
from tausweep.storage.files.atomic import publish

FORMATS = ("table", "csv", "json", "parquet")
_SHOWN = 1000


def write_answer(answer: pa.Table, form: str, out: Path | None) -> None:
    """Print an answer, or write it to a file.

    Raises:
        InputError: no such format, Parquet to a terminal, a type that the format does not have, or the file can't be
            written.
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
    try:
        if out is None:
            writers[form](sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            publish(out, writers[form])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"--format {form}: {error}; cast the column in the query, or use json") from error
    except OSError as error:
        if out is None:
            raise  # the reader of our output has gone
        raise InputError(f"--out {out}: can't be written ({error.strerror})") from error


def _print_table(answer: pa.Table) -> None:
    from tausweep.orchestrator.terminal.console import console, print_table

    rows = answer.slice(0, _SHOWN).to_pylist()
    print_table(answer.column_names, [list(row.values()) for row in rows], wrap=answer.column_names)
    if answer.num_rows > _SHOWN:
        console.print(f"… and {answer.num_rows - _SHOWN} more rows; --format csv prints all")


def _flat(answer: pa.Table) -> pa.Table:
    """CSV has no lists: they are written as JSON."""
    for index, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type):
            values = [
                None if v is None else json.dumps(_plain(v), default=str)
                for v in answer.column(index).to_pylist()
            ]
            answer = answer.set_column(index, field.name, pa.array(values, pa.string()))
    return answer


def _json(answer: pa.Table) -> bytes:
    rows = [_plain(row) for row in answer.to_pylist()]
    return (json.dumps(rows, indent=1, allow_nan=False, default=str) + "\n").encode()


def _plain(value: Any) -> Any:
    """A value as JSON has it: without NaN and infinity, of 0.0/0.0; the sum of integers is a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
