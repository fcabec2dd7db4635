"""Parts: what a worker may write, and that any Parquet reader opens it."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tausweep.storage.errors import StoreError
from tausweep.storage.layout import TABLES, PartName
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.schemas import KEYS, SCHEMAS

METRICS = {
    "tau": [30, 10, 10, 10],
    "images_seen": [480, 160, 160, 160],
    "t": [None, 500.0, 50.0, None],
    "metric": ["f_mem", "test_loss", "test_loss", "f_mem"],
    "value": [0.5, 0.25, 0.125, 0.0],
    "wall_time": [3.0, 2.0, 1.0, 0.5],
}
NEIGHBOURS = {
    "tau": np.full(3, 10),
    "sample": np.array([2, 0, 1], dtype=np.int32),
    "d1": np.array([0.5, 0.0, 1.5]),
    "d2": np.array([1.0, 2.0, 3.0]),
    "nn1": np.array([4, 5, 6], dtype=np.int32),
    "nn2": np.array([7, 8, 9], dtype=np.int32),
}
SAMPLES = {
    "tau": [10, 10],
    "sample": [1, 0],
    "shape": [[1, 2, 2], [1, 2, 2]],
    "image": [np.linspace(0, 1, 4, dtype=np.float32), np.zeros(4, dtype=np.float32)],
}
COLUMNS = {"metrics": METRICS, "neighbours": NEIGHBOURS, "samples": SAMPLES}
CELLS = [(table, column) for table in TABLES for column in COLUMNS[table]]
EMPTY = {"tau": [], "images_seen": [], "t": [], "metric": [], "value": [], "wall_time": []}


@pytest.fixture
def run(store, make_run):
    return make_run(store)


@pytest.fixture
def writer(run):
    return PartWriter(run, attempt=3)


def with_cell(table, column, value):
    """A table's columns, one value in the middle replaced."""
    changed = list(COLUMNS[table][column])
    changed[1] = value
    return {**COLUMNS[table], column: changed}


@pytest.mark.parametrize("table", TABLES)
def test_a_part_carries_the_tables_schema_with_version_and_documentation(run, writer, table):
    writer.publish(table, COLUMNS[table])
    (part,) = run.parts(table)
    found = pq.read_schema(part)
    assert found.equals(SCHEMAS[table])
    assert found.metadata == {b"tausweep.schema": b"1"}
    assert all(field.metadata[b"doc"] == SCHEMAS[table].field(field.name).metadata[b"doc"] for field in found)


@pytest.mark.parametrize("table", TABLES)
def test_a_part_holds_what_was_given_under_its_run_and_attempt(run, writer, table):
    writer.publish(table, COLUMNS[table])
    (part,) = run.parts(table)
    rows = pq.read_table(part).to_pylist()
    count = len(COLUMNS[table]["tau"])
    given = [{name: values[i] for name, values in COLUMNS[table].items()} for i in range(count)]
    expected = [{"run_id": run.run_id, "attempt": 3, **row} for row in given]
    for row in [*rows, *expected]:
        row |= {name: list(row[name]) for name in ("shape", "image") if name in row}
    assert sorted(rows, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_sorted_by_the_key(run, writer, table):
    writer.publish(table, COLUMNS[table])
    frame = pd.read_parquet(run.parts(table)[0])
    assert frame.equals(frame.sort_values(list(KEYS[table]), na_position="last", ignore_index=True))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_compressed_with_zstd(run, writer, table):
    writer.publish(table, COLUMNS[table])
    group = pq.ParquetFile(run.parts(table)[0]).metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


@pytest.mark.parametrize("table", TABLES)
def test_pyarrow_pandas_and_duckdb_open_a_part_alike(run, writer, table):
    writer.publish(table, COLUMNS[table])
    (part,) = run.parts(table)
    by_arrow = pq.ParquetFile(part).read()
    by_pandas = pd.read_parquet(part)
    with duckdb.connect() as connection:
        by_duckdb = connection.read_parquet(str(part)).to_arrow_table()
    assert by_arrow.column_names == list(by_pandas.columns) == by_duckdb.column_names
    assert by_arrow.to_pylist() == by_duckdb.to_pylist()
    assert by_pandas.drop(columns=["shape", "image"], errors="ignore").equals(
        by_arrow.drop_columns([c for c in ("shape", "image") if c in by_arrow.column_names]).to_pandas()
    )


def test_each_call_makes_one_new_part(run, writer):
    for _ in range(3):
        writer.publish("metrics", METRICS)
    writer.publish("neighbours", NEIGHBOURS)
    assert [part.name for part in run.parts("metrics")] == [str(PartName(attempt=3, seq=i)) for i in range(3)]
    assert [part.name for part in run.parts("neighbours")] == [str(PartName(attempt=3, seq=0))]


def test_a_part_is_never_written_again(run, writer):
    writer.publish("metrics", METRICS)
    (part,) = run.parts("metrics")
    before = part.stat()
    with pytest.raises(StoreError, match=r"3-000000\.parquet: exists already; two writers share attempt 3"):
        PartWriter(run, attempt=3).publish("metrics", METRICS)
    assert run.parts("metrics") == [part]
    assert (part.stat().st_ino, part.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_rows_make_no_part(run, writer):
    writer.publish("metrics", EMPTY)
    assert not run.table("metrics").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("metrics", "value"),
        ("metrics", "t"),
        ("metrics", "wall_time"),
        ("neighbours", "d1"),
        ("neighbours", "d2"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(run, writer, table, column, bad):
    with pytest.raises(ValueError, match=f"table {table}: {column} is not finite; leave out"):
        writer.publish(table, with_cell(table, column, bad))
    assert not run.parts(table)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_pixel_that_is_not_finite_is_refused(run, writer, bad):
    with pytest.raises(ValueError, match="table samples: image is not finite"):
        writer.publish("samples", with_cell("samples", "image", [0.0, bad, 1.0, 1.0]))
    assert not run.parts("samples")


@pytest.mark.parametrize(("table", "column"), [cell for cell in CELLS if cell != ("metrics", "t")])
def test_a_missing_value_is_refused(run, writer, table, column):
    with pytest.raises(ValueError, match=f"table {table}: {column} has nulls"):
        writer.publish(table, with_cell(table, column, None))
    assert not run.parts(table)


def test_a_missing_pixel_is_refused(run, writer):
    with pytest.raises(ValueError, match="table samples: image has nulls"):
        writer.publish("samples", with_cell("samples", "image", [0.0, None, 1.0, 1.0]))
    assert not run.parts("samples")


@pytest.mark.parametrize("column", ["tau", "sample", "nn1", "nn2"])
def test_a_fraction_where_a_whole_number_belongs_is_refused_not_cut(run, writer, column):
    with pytest.raises(ValueError, match=r"must be integers|truncated"):
        writer.publish("neighbours", with_cell("neighbours", column, 1.5))
    assert not run.parts("neighbours")


@pytest.mark.parametrize(("table", "column"), [cell for cell in CELLS if cell != ("metrics", "metric")])
def test_text_where_a_number_belongs_is_refused(run, writer, table, column):
    with pytest.raises((ValueError, TypeError)):
        writer.publish(table, with_cell(table, column, "text"))
    assert not run.parts(table)


@pytest.mark.parametrize("column", ["tau", "sample"])
def test_a_number_too_large_for_its_column_is_refused(run, writer, column):
    with pytest.raises((ValueError, OverflowError)):
        writer.publish("neighbours", with_cell("neighbours", column, 2**63))
    assert not run.parts("neighbours")


@pytest.mark.parametrize(("table", "column"), CELLS)
def test_a_missing_column_is_refused_by_name(writer, table, column):
    rest = {name: values for name, values in COLUMNS[table].items() if name != column}
    with pytest.raises(ValueError, match=f"table {table}: columns missing or unknown: {column}"):
        writer.publish(table, rest)


@pytest.mark.parametrize("extra", ["note", "run_id", "attempt"])
def test_an_unknown_column_is_refused_by_name(writer, extra):
    with pytest.raises(ValueError, match=f"columns missing or unknown: {extra}"):
        writer.publish("metrics", {**METRICS, extra: [1, 2, 3, 4]})


def test_columns_of_unequal_length_are_refused(run, writer):
    with pytest.raises(pa.ArrowInvalid, match="length"):
        writer.publish("metrics", {**METRICS, "value": [0.5]})
    assert not run.parts("metrics")


def test_a_shape_that_is_not_channels_height_width_is_refused(run, writer):
    with pytest.raises(pa.ArrowInvalid):
        writer.publish("samples", with_cell("samples", "shape", [2, 2]))
    assert not run.parts("samples")
