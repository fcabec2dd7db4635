"""Reading: the attempt rule, damaged parts, and the views that SQL sees."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.storage.attempts.records import AttemptRecord, Process, write_attempt
from tausweep.storage.errors import CorruptFileError, InputError, SchemaError
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import TABLES, PartName, StoreLayout
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.record_tables import runs_table
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.schemas import SCHEMAS
from tausweep.storage.tables.sql import VIEWS, query

ELSEWHERE = Process(host="another-host", pid=7, started=0.0, namespace="")
RUN_ID = "0123456789abcdef0123"


def attempt(run, number=1, **fields):
    """An attempt's record; it has succeeded if nothing else is said."""
    fields = {"state": "succeeded", "started": 1000.0, "ended": 1010.0, "process": ELSEWHERE} | fields
    write_attempt(run, AttemptRecord(attempt=number, **fields))


def measure(run, values, *, number=1, writer=None):
    """Publish metrics {(tau, metric, t): value} as one part of an attempt."""
    columns = {
        "tau": [tau for tau, _, _ in values],
        "images_seen": [16 * tau for tau, _, _ in values],
        "t": [t for _, _, t in values],
        "metric": [metric for _, metric, _ in values],
        "value": list(values.values()),
        "wall_time": [0.0] * len(values),
    }
    (writer or PartWriter(run, attempt=number)).publish("metrics", columns)


def measured(store, run):
    """What a reader finds: {(tau, metric, t): (attempt, value)}."""
    rows = read_table(store, "metrics", [run.run_id]).to_pylist()
    found = {(row["tau"], row["metric"], row["t"]): (row["attempt"], row["value"]) for row in rows}
    assert len(found) == len(rows), "a measurement is there twice"
    return found


def publish_each_table(run, writer=None):
    """One part in each table."""
    writer = writer or PartWriter(run, attempt=1)
    measure(run, {(10, "f_mem", None): 0.25}, writer=writer)
    near = {"tau": [10], "sample": [0], "d1": [1.0], "d2": [2.0], "nn1": [3], "nn2": [4]}
    writer.publish("neighbours", near)
    image = {"tau": [10], "sample": [0], "shape": [[1, 1, 2]], "image": [[0.0, 1.0]]}
    writer.publish("samples", image)


@pytest.fixture
def run(store, make_run):
    return make_run(store)


# --- the attempt rule ----------------------------------------------------------------------------------------------

KEY = st.tuples(
    st.integers(0, 6), st.sampled_from([("f_mem", None), ("test_loss", 50.0), ("test_loss", 150.0)])
)
ATTEMPT = st.tuples(st.none() | st.integers(0, 6), st.sets(KEY, max_size=8))
"""The tau from which an attempt resumed (None: it died before it knew), and what it measured."""


def naive(attempts):
    """The attempt rule, word by word."""
    kept = {}
    for number, (_, keys) in enumerate(attempts, start=1):
        for tau, (metric, t) in keys:
            resumed_later = [start for start, _ in attempts[number:] if start is not None]
            if all(tau <= start for start in resumed_later):
                kept[tau, metric, t] = (number, float(100 * number + tau))  # a higher attempt comes later
    return kept


@settings(max_examples=25, deadline=None)
@given(attempts=st.lists(ATTEMPT, max_size=5))
def test_the_highest_attempt_wins_and_a_future_that_was_trained_again_is_dropped(attempts):
    with tempfile.TemporaryDirectory() as folder:
        store = StoreLayout(Path(folder))
        run = store.run(RUN_ID)
        for number, (resumed, keys) in enumerate(attempts, start=1):
            attempt(run, number, resumed_from_tau=resumed)
            measure(run, {(tau, m, t): float(100 * number + tau) for tau, (m, t) in keys}, number=number)
        assert measured(store, run) == naive(attempts)


def test_attempts_of_one_run_do_not_touch_another(store, make_run):
    one, other = make_run(store, seed=1), make_run(store, seed=2)
    attempt(one)
    measure(one, {(10, "f_mem", None): 1.0})
    attempt(one, 2, resumed_from_tau=0)
    attempt(other)
    measure(other, {(10, "f_mem", None): 2.0})
    assert measured(store, one) == {}
    assert measured(store, other) == {(10, "f_mem", None): (1, 2.0)}


def test_the_tau_it_resumed_from_itself_is_kept(store, run):
    attempt(run)
    measure(run, {(10, "f_mem", None): 1.0, (11, "f_mem", None): 1.0})
    attempt(run, 2, resumed_from_tau=10)
    assert measured(store, run) == {(10, "f_mem", None): (1, 1.0)}


@pytest.mark.parametrize("table", TABLES)
def test_rows_that_are_there_twice_are_read_once(store, run, table):
    attempt(run)
    publish_each_table(run)
    once = read_table(store, table, [run.run_id])
    (part,) = run.parts(table)
    shutil.copy(part, run.part(table, PartName(attempt=1, seq=1)))
    assert read_table(store, table, [run.run_id]) == once


@pytest.mark.parametrize("table", TABLES)
def test_a_table_comes_back_with_its_schema(store, run, table):
    attempt(run)
    publish_each_table(run)
    rows = read_table(store, table, [run.run_id])
    assert (rows.num_rows, rows.schema) == (1, SCHEMAS[table])


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_store_has_empty_tables(store, table):
    rows = read_table(store, table, [])
    assert (rows.num_rows, rows.schema) == (0, SCHEMAS[table])


def test_rows_come_sorted_by_their_key(store, make_run):
    runs = [make_run(store, seed=seed) for seed in range(3)]
    for run in runs:
        attempt(run)
        measure(
            run, {(tau, m, t): 0.0 for tau in (100, 9, 20) for m, t in [("b", None), ("a", 2.0), ("a", 1.0)]}
        )
    rows = read_table(store, "metrics", [run.run_id for run in runs]).to_pylist()
    keys = [(row["run_id"], row["tau"], row["metric"], row["t"] or 0.0) for row in rows]
    assert keys == sorted(keys)


def test_only_the_runs_asked_for_are_read(store, make_run):
    wanted, other = make_run(store, seed=1), make_run(store, seed=2)
    for run in (wanted, other):
        attempt(run)
        measure(run, {(10, "f_mem", None): 1.0})
    rows = read_table(store, "metrics", iter([wanted.run_id, "f" * 20]))
    assert rows["run_id"].to_pylist() == [wanted.run_id]


# --- parts that are not what they should be ------------------------------------------------------------------------


def truncate(part):
    part.write_bytes(part.read_bytes()[:-20])


def cut_the_head(part):
    part.write_bytes(part.read_bytes()[20:])


def empty(part):
    part.write_bytes(b"")


def put_text_there(part):
    part.write_text("run_id,tau\n1,2\n")


def make_a_folder_of_it(part):
    part.unlink()
    part.mkdir()


@pytest.mark.parametrize("damage", [truncate, cut_the_head, empty, put_text_there, make_a_folder_of_it])
@pytest.mark.parametrize("table", TABLES)
def test_a_part_that_is_no_whole_parquet_file_is_named(store, run, table, damage):
    attempt(run)
    publish_each_table(run)
    damage(run.parts(table)[0])
    with pytest.raises(CorruptFileError, match=rf"{run.run_id}/{table}/1-000000\.parquet: "):
        read_table(store, table, [run.run_id])


def flip_bits(part):
    """Change a byte of the pixels; the footer and all lengths stay as they were."""
    content = bytearray(part.read_bytes())
    content[pq.read_metadata(part).row_group(0).column(5).data_page_offset + 60] ^= 0xFF
    part.write_bytes(content)


@pytest.mark.parametrize(
    "read",
    [
        lambda store, run: read_table(store, "samples", [run.run_id]),
        lambda store, run: query(store, "SELECT max(list_max(image)) FROM samples"),
    ],
    ids=["as a table", "by SQL"],
)
def test_a_part_with_a_flipped_bit_is_named_and_not_read_as_another_value(store, run, read):
    attempt(run)
    image = {"tau": [1], "sample": [0], "shape": [[1, 8, 8]], "image": [[i / 64 for i in range(64)]]}
    PartWriter(run, attempt=1).publish("samples", image)
    flip_bits(run.parts("samples")[0])
    with pytest.raises(CorruptFileError, match=r"1-000000\.parquet: damaged"):
        read(store, run)


def other_version(schema):
    return schema.with_metadata({b"tausweep.schema": b"2"})


def without_version(schema):
    return schema.remove_metadata()


def column_less(schema):
    return schema.remove(len(schema) - 1)


def column_more(schema):
    return schema.append(pa.field("note", pa.string()))


def column_renamed(schema):
    return schema.set(2, schema.field(2).with_name("step"))


def other_type(schema):
    return schema.set(2, pa.field("tau", pa.int32(), nullable=False))


@pytest.mark.parametrize(
    "change", [other_version, without_version, column_less, column_more, column_renamed, other_type]
)
def test_a_part_of_another_schema_is_refused_by_name_and_never_filled_with_nulls(store, run, change):
    attempt(run)
    part = run.part("metrics", PartName(attempt=1, seq=0))
    part.parent.mkdir()
    schema = change(SCHEMAS["metrics"])
    pq.write_table(schema.empty_table(), part)
    with pytest.raises(SchemaError, match=r"1-000000\.parquet: its schema is not that of table 'metrics'"):
        read_table(store, "metrics", [run.run_id])


def test_files_with_other_names_are_not_parts(store, run):
    attempt(run)
    measure(run, {(10, "f_mem", None): 0.25})
    for name in (".1-000001.parquet.1a2b3c4d.tmp", ".DS_Store", "notes.txt", "1-000001.parquet.bak"):
        (run.table("metrics") / name).write_text("not a part")
    assert measured(store, run) == {(10, "f_mem", None): (1, 0.25)}


# --- the views -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_there_and_empty_in_a_new_store(store, view):
    assert query(store, f"SELECT * FROM {view}").num_rows == 0


def test_runs_has_the_settings_as_columns(store, make_run):
    run = make_run(store, n=32, optimizer="sgd", lr=0.5)
    (row,) = query(store, "SELECT * FROM runs").to_pylist()
    assert row["run_id"] == run.run_id
    assert (row["state"], row["attempt"], row["p"]) == ("pending", 0, 4321)
    assert (row["n"], row["optimizer"], row["lr"], row["momentum"]) == (32, "sgd", 0.5, 0.95)
    assert (row["multipliers"], row["batch"]) == ([1, 2], "min(512, n)")


def test_a_setting_that_a_run_does_not_have_is_null(store, make_run):
    make_run(store)
    make_run(store, optimizer="sgd", clip=1)
    rows = query(store, "SELECT momentum, beta1, clip FROM runs ORDER BY optimizer").to_pylist()
    assert rows == [
        {"momentum": None, "beta1": 0.9, "clip": None},
        {"momentum": 0.95, "beta1": None, "clip": 1.0},
    ]


def test_a_setting_of_two_types_becomes_text(store, make_run):
    make_run(store, batch=64)
    make_run(store, batch="min(512, n)")
    assert query(store, "SELECT batch FROM runs ORDER BY batch")["batch"].to_pylist() == ["64", "min(512, n)"]


def test_a_setting_of_one_type_keeps_it(store, make_run):
    for batch in (8, 64):
        make_run(store, batch=batch)
    assert query(store, "SELECT sum(batch) AS sum FROM runs")["sum"].to_pylist() == [72]


def test_a_directory_without_a_spec_is_no_run(store):
    store.run(RUN_ID).attempts.mkdir(parents=True)
    assert runs_table(store).num_rows == 0


def test_attempts_tell_who_ran_for_how_long_and_with_which_code(store, run):
    attempt(run, 1, state="failed", failure="error", error="why", provenance={"commit": "abc", "deep": [1]})
    attempt(run, 2, state="running", ended=None, resumed_from_tau=30, job_id="a-1")
    first, second = query(store, "SELECT * FROM attempts ORDER BY attempt").to_pylist()
    assert (first["state"], first["failure"], first["error"], first["seconds"]) == (
        "failed",
        "error",
        "why",
        10.0,
    )
    assert (first["host"], first["pid"], first["commit"]) == ("another-host", 7, "abc")
    assert (second["seconds"], second["resumed_from_tau"], second["job_id"]) == (None, 30, "a-1")
    assert "deep" not in first


def test_sweeps_list_their_runs(store, make_run):
    ids = [make_run(store, seed=seed).run_id for seed in range(2)]
    write_record(store.sweep("tiny"), {"run_ids": ids, "updated": 5.0})
    rows = query(store, "SELECT sweep, run_id, updated FROM sweeps JOIN runs USING (run_id)").to_pylist()
    assert sorted(row["run_id"] for row in rows) == sorted(ids)
    assert {(row["sweep"], row["updated"]) for row in rows} == {("tiny", 5.0)}


def test_evaluations_have_one_row_a_tau_and_one_column_a_metric(store, make_run):
    run = make_run(store, n=32)
    attempt(run)
    measure(
        run,
        {
            (10, "f_mem", None): 0.0,
            (10, "test_loss", 50.0): 1.5,
            (10, "test_loss", 150.0): 2.5,
            (30, "f_mem", None): 0.5,
        },
    )
    rows = query(
        store,
        "SELECT run_id, tau, images_seen, f_mem, test_loss_t50, test_loss_t150, n FROM evaluations ORDER BY tau",
    ).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (run.run_id, 10, 160, 0.0, 1.5, 2.5, 32),
        (run.run_id, 30, 480, 0.5, None, None, 32),
    ]


def test_a_metric_may_have_any_name(store, run):
    attempt(run)
    measure(run, {(10, 'o\'clock "loss"; --', None): 1.0, (10, "größe", 0.5): 2.0})
    (row,) = query(store, "SELECT * FROM evaluations").to_pylist()
    assert (row['o\'clock "loss"; --'], row["größe_t0.5"]) == (1.0, 2.0)


def test_a_damaged_table_does_not_stand_in_the_way_of_a_question_about_another(store, run):
    attempt(run)
    publish_each_table(run)
    truncate(run.parts("neighbours")[0])
    assert query(store, "SELECT value FROM metrics")["value"].to_pylist() == [0.25]
    with pytest.raises(CorruptFileError):
        query(store, "SELECT d1 FROM neighbours")


def test_views_can_be_joined(store, run):
    attempt(run)
    publish_each_table(run)
    sql = "SELECT d1 / d2 AS gap_ratio, n FROM neighbours JOIN runs USING (run_id) WHERE state = 'succeeded'"
    assert query(store, sql).to_pylist() == [{"gap_ratio": 0.5, "n": 16}]


def test_an_unreadable_spec_is_an_error_that_names_it(store, run):
    run.spec.write_bytes(b"{")
    with pytest.raises(CorruptFileError, match=r"spec\.json: not JSON"):
        query(store, "SELECT * FROM runs")


@pytest.mark.parametrize("view", ["runs", "sweeps"])
def test_a_record_of_other_content_is_an_error_that_names_it(store, run, view):
    path = run.spec if view == "runs" else store.sweep("tiny")
    write_record(path, {"settings": {}, "run_ids": []})
    with pytest.raises(SchemaError, match=rf"{path.name}: (p|updated) missing"):
        query(store, f"SELECT * FROM {view}")


def test_a_question_about_a_column_that_is_not_there_is_an_input_error(store, run):
    with pytest.raises(InputError, match="epoch"):
        query(store, "SELECT epoch FROM metrics")
