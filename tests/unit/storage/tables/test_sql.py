"""`query` answers a SELECT over the views and can do nothing else: not write, not read a file, not see Python."""

from __future__ import annotations

import pytest

from tausweep.storage.errors import InputError
from tausweep.storage.tables.sql import VIEWS, query

HOSTILE = [
    "",
    "   ",
    "-- only a comment",
    "/* only a comment */",
    ";",
    "SELECT",
    "SELEKT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE runs",
    "COPY runs TO 'out.csv'",
    "COPY (SELECT 1) TO 'out.parquet' (FORMAT parquet)",
    "COPY runs FROM 'secret.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
    "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
    "ATTACH 'out.db'",
    "ATTACH 'out.db' AS other; SELECT 1",
    "DETACH memory",
    "USE memory",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD 'evil.duckdb_extension'",
    "SET enable_external_access = true",
    "SET temp_directory = '.'",
    "SET GLOBAL lock_configuration = false",
    "SET VARIABLE x = 1",
    "FORCE INSTALL httpfs",
    "ATTACH ':memory:' AS other",
    "RESET enable_external_access",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "CREATE TABLE x (i INT)",
    "CREATE OR REPLACE VIEW metrics AS SELECT 1",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO runs SELECT * FROM runs",
    "UPDATE runs SET n = 0",
    "DELETE FROM runs",
    "DROP VIEW metrics",
    "ALTER TABLE runs ADD COLUMN x INT",
    "BEGIN TRANSACTION",
    "PREPARE p AS SELECT 1",
    "WITH gone AS (DELETE FROM runs RETURNING *) SELECT * FROM gone",
    "SELECT * INTO x FROM runs",
    "SELECT * FROM 'secret.csv'",
    'SELECT * FROM "secret.csv"',
    "SELECT * FROM read_csv('secret.csv')",
    "SELECT * FROM read_text('secret.csv')",
    "SELECT * FROM read_blob('secret.csv')",
    "SELECT * FROM read_json('secret.csv')",
    "SELECT * FROM read_parquet('*.parquet')",
    "SELECT * FROM parquet_metadata('secret.csv')",
    "SELECT * FROM sniff_csv('secret.csv')",
    "SELECT * FROM read_csv_auto('secret.csv')",
    "SELECT * FROM read_ndjson('secret.csv')",
    "SELECT * FROM read_parquet(['a.parquet', 'b.parquet'])",
    "SELECT * FROM parquet_scan('a.parquet')",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT * FROM glob('*')",
    "SELECT * FROM query('DROP VIEW metrics')",
    "SELECT * FROM query_table('secret.csv')",
    "SELECT * FROM runs WHERE n IN (SELECT content FROM read_text('secret.csv'))",
    "SELECT getenv('HOME')",
    "SELECT * FROM runs WHERE n = ?",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
]


@pytest.fixture
def full_store(store, make_run):
    make_run(store)
    return store


@pytest.mark.parametrize("sql", HOSTILE)
def test_anything_but_one_select_over_the_views_is_refused_and_touches_no_file(
    full_store, tmp_path, monkeypatch, snapshot, sql
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as error:
        query(full_store, sql)
    assert snapshot(tmp_path) == before
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS answer FROM runs",
        "SELECT count(*) AS answer FROM runs;",
        "  select COUNT(*) as answer from RUNS -- how many?",
        "FROM runs SELECT count(*) AS answer",
        "WITH one AS (SELECT * FROM runs) SELECT count(*) AS answer FROM one",
        "SELECT count(*) AS answer FROM (SELECT 1 FROM runs UNION SELECT 1)",
        "VALUES (1)",
        "SELECT 'DROP TABLE runs; --' IS NOT NULL AS answer",
    ],
)
def test_any_way_to_write_a_select_is_answered(full_store, sql):
    (row,) = query(full_store, sql).to_pylist()
    assert list(row.values()) == [1]


def test_a_view_can_be_described(full_store):
    names = query(full_store, "DESCRIBE metrics")["column_name"].to_pylist()
    assert names[:3] == ["run_id", "attempt", "tau"]


def test_pythons_variables_are_not_tables(full_store):
    secret = query(full_store, "SELECT 42 AS answer")
    assert secret.num_rows == 1
    with pytest.raises(InputError, match="secret"):
        query(full_store, "SELECT * FROM secret")


def test_an_answer_does_not_change_the_store(full_store, snapshot):
    before = snapshot(full_store.root)
    for view in VIEWS:
        query(full_store, f"SELECT * FROM {view}")
    assert snapshot(full_store.root) == before


def test_a_question_to_a_store_that_is_not_there_does_not_make_it(store):
    assert query(store, "SELECT * FROM runs").num_rows == 0
    assert not store.root.exists()


def test_a_big_sort_has_nowhere_to_spill(store):
    answer = query(store, "SELECT current_setting('temp_directory') AS folder")
    assert answer.to_pylist() == [{"folder": ""}]


def test_a_slow_answer_shows_no_progress_bar_which_would_be_mixed_with_json(store):
    answer = query(store, "SELECT current_setting('enable_progress_bar') AS shown")
    assert answer.to_pylist() == [{"shown": False}]


def test_one_question_leaves_nothing_to_the_next(full_store):
    query(full_store, "WITH x AS (SELECT 1) SELECT * FROM x")
    with pytest.raises(InputError):
        query(full_store, "SELECT * FROM x")


@pytest.mark.parametrize("sql", ["SELECT * FROM run", "SELECT epoch FROM runs", "DROP VIEW runs", ""])
def test_every_refusal_names_the_views(full_store, sql):
    with pytest.raises(InputError, match=", ".join(VIEWS)):
        query(full_store, sql)


def test_two_columns_of_one_name_are_refused_for_a_row_can_hold_only_one(full_store):
    with pytest.raises(InputError, match="named attempt, error, failure, state, tau; rename with AS"):
        query(full_store, "SELECT * FROM runs JOIN attempts USING (run_id)")


def test_a_misspelt_column_is_named(full_store):
    with pytest.raises(InputError, match="optimiser"):
        query(full_store, "SELECT optimiser FROM runs")
