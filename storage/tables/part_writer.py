"""Writes the tables of one attempt as immutable Parquet parts.

A worker publishes the measurements of an evaluation. Each call makes one new file,
`<attempt>-<sequence>.parquet`, that is never written again. Reads nothing, so it does not need
`storage.tables.parquet`, which loads pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tausweep.storage.attempts.claims import require_ownership
from tausweep.storage.errors import StoreError
from tausweep.storage.files.atomic import publish_new
from tausweep.storage.layout import PartName, RunDirectory, TableName
from tausweep.storage.tables.schemas import KEYS, SCHEMAS


def write_table(rows: pa.Table, file: BinaryIO) -> None:
    """Write the rows of a part."""
    # zstd data has no checksum here: without those of the pages a flipped bit would be read as another value.
    pq.write_table(rows, file, compression="zstd", write_page_checksum=True)


class PartWriter:
    """Publishes parts for one attempt of one run."""

    def __init__(self, run: RunDirectory, *, attempt: int) -> None:
        self.run = run
        self.attempt = attempt
        self._next: dict[TableName, int] = {}

    def publish(self, table: TableName, columns: Mapping[str, Sequence[object] | np.ndarray]) -> None:
        """Write rows durably: once this returns they survive a crash.

        Args:
            table: which table.
            columns: all its columns except run_id and attempt, of equal length.

        Raises:
            ClaimLostError: another attempt has taken over the run; nothing is written.
            ValueError: a column is missing or unknown, or a value is null, not finite or not an integer where
                it must be.
        """
        rows = self._rows(table, columns)
        if not rows.num_rows:
            return
        require_ownership(self.run, self.attempt)
        name = PartName(attempt=self.attempt, seq=self._next.get(table, 0))
        target = self.run.part(table, name)
        if not publish_new(target, partial(write_table, rows)):
            raise StoreError(f"{target}: exists already; two writers share attempt {self.attempt}")
        self._next[table] = name.seq + 1

    def _rows(self, table: TableName, columns: Mapping[str, Sequence[object] | np.ndarray]) -> pa.Table:
        schema = SCHEMAS[table]
        wrong = set(columns) ^ (set(schema.names) - {"run_id", "attempt"})
        if wrong:
            raise ValueError(f"table {table}: columns missing or unknown: {', '.join(sorted(wrong))}")
        count = len(next(iter(columns.values())))
        constant = {"run_id": [self.run.run_id] * count, "attempt": [self.attempt] * count}
        complete = {**constant, **columns}
        rows = pa.table(complete, schema=schema)
        for field in schema:
            values = rows[field.name]
            nulls = values.null_count
            if pa.types.is_nested(field.type):
                values = pc.list_flatten(values)
                nulls += values.null_count
            if nulls and not field.nullable:
                raise ValueError(f"table {table}: {field.name} has nulls")
            if pa.types.is_floating(values.type) and not pc.all(pc.is_finite(values), min_count=0).as_py():
                raise ValueError(
                    f"table {table}: {field.name} is not finite; leave out values that were not measured"
                )
            # Arrow would truncate Python floats: 1.5 to 1.
            if (
                pa.types.is_integer(field.type)
                and (np.asarray(values) != np.asarray(complete[field.name])).any()
            ):
                raise ValueError(f"table {table}: {field.name} must be integers")
        return rows.sort_by([(key, "ascending") for key in KEYS[table]])
