"""Compaction: the same answers from few files, whatever is interrupted, and no row is ever at risk."""

from __future__ import annotations

import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest

from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import CorruptFileError, SchemaError, StoreError
from tausweep.storage.layout import TABLES, PartName, RunDirectory, StoreLayout
from tausweep.storage.maintenance.compaction import compact, split_by_size
from tausweep.storage.tables.parquet import open_merged
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.schemas import SCHEMAS
from tausweep.storage.tables.sql import query
from tests.unit.storage.tables.test_scan import attempt, measure, measured, publish_each_table


@pytest.fixture(scope="module")
def template(tmp_path_factory, make_run):
    """Two finished runs with two parts of metrics, and one run that is not finished."""
    store = StoreLayout(tmp_path_factory.mktemp("template") / "store")
    for seed in range(3):
        run = make_run(store, seed=seed)
        attempt(run, state="succeeded" if seed < 2 else "preempted")
        writer = PartWriter(run, attempt=1)
        publish_each_table(run, writer)
        measure(run, {(30, "f_mem", None): 0.5, (30, "test_loss", 50.0): 1.5}, writer=writer)
    return store


@pytest.fixture
def study(template, store):
    """A store of its own for each test."""
    shutil.copytree(template.root, store.root)
    return store


def finished(store):
    return [run_id for run_id in store.run_ids() if run_status(store.run(run_id)).state == "succeeded"]


def parts(store, table="metrics"):
    return [part for run_id in store.run_ids() for part in store.run(run_id).parts(table)]


@pytest.mark.parametrize("table", TABLES)
def test_answers_stay_the_same(study, table):
    before = read_table(study, table)
    compact(study)
    assert read_table(study, table) == before


def test_many_parts_become_one_file_a_table_and_the_parts_go(study):
    done = compact(study)
    assert [(c.table, c.files, c.parts) for c in done] == [
        ("metrics", 1, 4),
        ("neighbours", 1, 2),
        ("samples", 1, 2),
    ]
    assert [len(study.merged_files(table)) for table in TABLES] == [1, 1, 1]


def test_parts_of_runs_that_are_not_finished_stay(study):
    compact(study)
    assert len(parts(study)) == 2
    assert {part.parent.parent.name for part in parts(study)} == set(study.run_ids()) - set(finished(study))


def test_only_the_runs_asked_for_are_merged(study):
    one = finished(study)[0]
    compact(study, [one])
    (path,) = study.merged_files("metrics")
    assert set(open_merged(path, "metrics").runs) == {one}


def test_a_second_compaction_changes_nothing(study, snapshot):
    compact(study)
    before = snapshot(study.root)
    assert [(c.files, c.parts) for c in compact(study)] == [(0, 0)] * 3
    assert snapshot(study.root) == before


def test_a_merged_file_says_which_parts_it_replaces(study):
    names = {run_id: set(study.run(run_id).part_names("metrics")) for run_id in finished(study)}
    compact(study)
    file = open_merged(study.merged_files("metrics")[0], "metrics")
    assert {run_id: file.parts(run_id) for run_id in file.runs} == names
    assert {file.complete(run_id) for run_id in file.runs} == {1}


def test_a_merged_file_has_the_schema_of_its_table_zstd_and_statistics(study):
    compact(study)
    file = pq.ParquetFile(study.merged_files("metrics")[0])
    assert file.schema_arrow.equals(SCHEMAS["metrics"], check_metadata=False)
    group = file.metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}
    assert (group.column(5).statistics.min, group.column(5).statistics.max) == ("f_mem", "test_loss")


def test_rows_of_one_metric_lie_together(study):
    compact(study)
    metrics = pq.ParquetFile(study.merged_files("metrics")[0]).read()["metric"].to_pylist()
    assert metrics == sorted(metrics)


def test_rows_that_the_attempt_rule_drops_are_left_out(store, make_run):
    run = make_run(store)
    attempt(run, 1, state="failed")
    measure(run, {(10, "f_mem", None): 1.0, (30, "f_mem", None): 1.0})
    attempt(run, 2, resumed_from_tau=10)
    measure(run, {(30, "f_mem", None): 2.0}, number=2)
    compact(store)
    rows = pq.ParquetFile(store.merged_files("metrics")[0]).read()
    assert rows["attempt"].to_pylist() == [1, 2]


def test_the_attempt_rule_spans_merged_rows_and_later_parts(store, make_run):
    run = make_run(store)
    attempt(run)
    measure(run, {(10, "f_mem", None): 1.0, (20, "f_mem", None): 1.0, (30, "f_mem", None): 1.0})
    compact(store)
    attempt(run, 2, resumed_from_tau=20)
    measure(run, {(20, "f_mem", None): 2.0, (25, "f_mem", None): 2.0}, number=2)
    expected = {(10, "f_mem", None): (1, 1.0), (20, "f_mem", None): (2, 2.0), (25, "f_mem", None): (2, 2.0)}
    assert measured(store, run) == expected
    compact(store)
    assert measured(store, run) == expected
    assert (len(store.merged_files("metrics")), run.parts("metrics")) == (2, [])


def test_a_run_whose_directory_was_removed_is_gone_also_from_merged_files(study):
    compact(study)
    gone = finished(study)[0]
    shutil.rmtree(study.run(gone).path)
    assert set(read_table(study, "metrics")["run_id"].to_pylist()) == set(study.run_ids())
    assert set(query(study, "SELECT DISTINCT run_id FROM metrics")["run_id"].to_pylist()) == set(
        study.run_ids()
    )


@pytest.mark.parametrize("how", ["before any part is removed", "after some parts were removed"])
def test_an_interrupted_removal_is_finished_by_the_next_compaction(study, monkeypatch, how):
    before = read_table(study, "metrics")
    left = Counter(parts=0 if how.startswith("before") else 2)
    unlink = type(study.root).unlink

    def cut_off(path, missing_ok=False):
        if PartName.parse(path.name):
            if not left["parts"]:
                raise KeyboardInterrupt
            left["parts"] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(type(study.root), "unlink", cut_off)
        with pytest.raises(KeyboardInterrupt):
            compact(study)
    assert len(study.merged_files("metrics")) == 1
    assert read_table(study, "metrics") == before
    compact(study)
    assert len(parts(study)) == 2
    assert read_table(study, "metrics") == before


def test_a_part_with_rows_that_the_merged_file_lacks_is_kept(study, tmp_path):
    run = study.run(finished(study)[0])
    compact(study)
    put_back = {
        "tau": [10],
        "images_seen": [1],
        "t": [None],
        "metric": ["f_mem"],
        "value": [0.75],
        "wall_time": [0.0],
    }
    PartWriter(run, attempt=1).publish("metrics", put_back)
    with pytest.raises(StoreError, match=f"lacks rows of run {run.run_id}"):
        compact(study)
    assert len(run.parts("metrics")) == 1


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(6)
    first = column.dictionary_page_offset or column.data_page_offset
    content[first + column.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(content)


def test_no_part_is_removed_for_a_merged_file_that_is_damaged(study, monkeypatch):
    monkeypatch.setattr("tausweep.storage.maintenance.compaction._remove_replaced", lambda *_: 0)
    compact(study)
    monkeypatch.undo()
    flip_a_bit(study.merged_files("metrics")[0])
    before = parts(study)
    with pytest.raises(CorruptFileError, match=r"compacted/metrics/[0-9a-f]{20}\.parquet: damaged"):
        compact(study)
    assert parts(study) == before


def test_a_damaged_part_is_named_and_nothing_of_its_table_is_merged(study):
    victim = study.run(finished(study)[1]).parts("metrics")[0]
    flip_a_bit(victim)
    before = parts(study)
    with pytest.raises(CorruptFileError, match=f"{victim.name}: damaged"):
        compact(study)
    assert (parts(study), study.merged_files("metrics")) == (before, [])


def test_a_damaged_merged_file_is_named_by_readers(study):
    compact(study)
    path = study.merged_files("metrics")[0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptFileError, match=path.name):
        read_table(study, "metrics")


def test_a_part_among_the_merged_files_is_refused(study):
    path = study.merged("metrics", "0" * 20)
    path.parent.mkdir(parents=True)
    shutil.copy(parts(study)[0], path)
    with pytest.raises(SchemaError, match="it is not a merged file"):
        read_table(study, "metrics")


def test_a_reader_that_knew_no_merged_file_when_the_parts_went_looks_again(study, monkeypatch):
    """The reader lists merged files, a compaction writes one and removes parts, the reader lists parts."""
    before = read_table(study, "metrics")
    listed = RunDirectory.part_names

    def slow(run, table):
        monkeypatch.setattr(RunDirectory, "part_names", listed)
        compact(study)
        return listed(run, table)

    monkeypatch.setattr(RunDirectory, "part_names", slow)
    assert read_table(study, "metrics") == before


def test_a_reader_that_looked_just_before_the_parts_went_looks_again(study, monkeypatch):
    """The reader lists parts, a compaction removes them, the reader opens them."""
    from tausweep.storage.tables import scan

    before = read_table(study, "metrics")
    opened = scan.open_part
    calls = Counter()

    def slow(path, table):
        if not calls["opened"]:
            calls["opened"] += 1
            compact(study)
        return opened(path, table)

    monkeypatch.setattr(scan, "open_part", slow)
    assert read_table(study, "metrics") == before


def test_a_reader_whose_parts_go_while_it_reads_looks_again(study, monkeypatch):
    """The reader has opened the parts, a compaction removes them, DuckDB reads them."""
    from tausweep.storage.tables import scan

    before = read_table(study, "metrics")
    create, calls = scan.create_views, Counter()

    def slow(connection, layout, snapshots):
        create(connection, layout, snapshots)
        if not calls["made"]:
            calls["made"] += 1
            monkeypatch.setattr(scan, "create_views", create)
            compact(study)

    monkeypatch.setattr(scan, "create_views", slow)
    assert read_table(study, "metrics") == before


def test_sql_whose_parts_go_while_it_reads_looks_again(study, monkeypatch):
    from tausweep.storage.tables import scan, sql

    before = query(study, "SELECT sum(value) AS sum FROM metrics")
    create, calls = scan.create_views, Counter()

    def slow(connection, layout, snapshots):
        create(connection, layout, snapshots)
        if not calls["made"]:
            calls["made"] += 1
            compact(study)

    monkeypatch.setattr(sql, "create_views", slow)
    assert query(study, "SELECT sum(value) AS sum FROM metrics") == before


def test_runs_are_divided_in_order_by_the_sum_of_their_sizes():
    sizes = {"a": 4, "b": 4, "c": 9, "d": 1, "e": 30, "f": 0}
    assert list(split_by_size(sizes, 10)) == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    assert list(split_by_size({}, 10)) == []
