"""Answers: each format opened again by a reader that knows nothing of us."""

from __future__ import annotations

import datetime
import io
import json
import subprocess
from contextlib import redirect_stdout
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tausweep.orchestrator.terminal.query_output import FORMATS, write_answer
from tausweep.storage.errors import InputError
from tausweep.storage.tables.sql import query
from tests.unit.orchestrator.finished_store import ENVIRONMENT, python

ANSWER = pa.table(
    {
        "run_id": ["a", 'b, "quoted"', None],
        "n": [16, None, 32],
        "value": [0.1, None, 1e-300],
        "good": [True, False, None],
        "multipliers": [[1, 2], None, []],
        "at": [datetime.date(2026, 11, 24), None, None],
    }
)


def ask(store, sql):
    return query(store, sql)


def written(answer, form, tmp_path):
    path = tmp_path / f"answer.{form}"
    write_answer(answer, form, path)
    return path


def printed(answer, form="table"):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(out):
        write_answer(answer, form, None)
    return out.buffer.getvalue()


def test_parquet_is_read_by_pyarrow_and_pandas_as_it_was(tmp_path):
    path = written(ANSWER, "parquet", tmp_path)
    assert pq.read_table(path).equals(ANSWER)
    assert list(pd.read_parquet(path)["n"].dropna()) == [16, 32]


def test_csv_is_read_by_pandas_and_pyarrow(tmp_path):
    path = written(ANSWER, "csv", tmp_path)
    by_pandas = pd.read_csv(path)
    assert list(by_pandas["run_id"][:2]) == ["a", 'b, "quoted"']
    assert by_pandas["value"].tolist()[::2] == [0.1, 1e-300]
    assert by_pandas.isna().sum().to_dict() == {
        "run_id": 1,
        "n": 1,
        "value": 1,
        "good": 1,
        "multipliers": 1,
        "at": 2,
    }
    assert pacsv.read_csv(path).column_names == ANSWER.column_names


def test_lists_in_csv_are_json(tmp_path):
    path = written(ANSWER, "csv", tmp_path)
    assert [json.loads(v) for v in pd.read_csv(path)["multipliers"].dropna()] == [[1, 2], []]


def test_json_is_a_list_of_rows_with_null_for_what_is_missing(tmp_path):
    rows = json.loads(written(ANSWER, "json", tmp_path).read_text())
    assert rows[0] == {
        "run_id": "a",
        "n": 16,
        "value": 0.1,
        "good": True,
        "multipliers": [1, 2],
        "at": "2026-11-24",
    }
    assert rows[1] == {
        "run_id": 'b, "quoted"', "n": None, "value": None, "good": False, "multipliers": None, "at": None,
    }  # fmt: skip


def strict(text):
    """JSON as the standard has it."""

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    "expression",
    ["0.0 / 0.0", "'inf'::DOUBLE", "[0.0 / 0.0, 'inf'::DOUBLE]", "{'a': -'inf'::DOUBLE}", "'nan'::FLOAT"],
)
def test_json_has_no_nan_and_no_infinity_at_any_depth(store, tmp_path, expression):
    path = written(ask(store, f"SELECT {expression} AS x"), "json", tmp_path)
    assert "null" in path.read_text()
    assert len(strict(path.read_text())) == 1


def test_the_sum_of_whole_numbers_is_a_number_in_json(store, tmp_path):
    answer = ask(store, "SELECT sum(x) AS s, avg(x) AS a FROM (VALUES (1), (2)) t(x)")
    assert json.loads(written(answer, "json", tmp_path).read_text()) == [{"s": 3, "a": 1.5}]


@pytest.mark.parametrize(
    ("value", "found"), [(Decimal("1.50"), 1.5), (Decimal("2.00"), 2), (Decimal(10**30), 10**30)]
)
def test_decimals_are_numbers_in_json(tmp_path, value, found):
    assert json.loads(written(pa.table({"x": [value]}), "json", tmp_path).read_text()) == [{"x": found}]


def test_lists_of_dates_can_be_written_as_csv(store, tmp_path):
    path = written(ask(store, "SELECT [DATE '2026-11-24'] AS days"), "csv", tmp_path)
    assert json.loads(pd.read_csv(path)["days"][0]) == ["2026-11-24"]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_an_answer_without_rows_keeps_its_columns_where_the_format_can(store, tmp_path, form):
    path = written(ask(store, "SELECT 1 AS a, 'x' AS b WHERE false"), form, tmp_path)
    readers = {"csv": lambda: list(pd.read_csv(path)), "parquet": lambda: pq.read_schema(path).names}
    assert readers.get(form, lambda: json.loads(path.read_text()))() == ([] if form == "json" else ["a", "b"])


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_what_is_printed_is_what_is_written(tmp_path, form):
    assert printed(ANSWER, form) == written(ANSWER, form, tmp_path).read_bytes()


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_pipe_receives_the_whole_answer(form, tmp_path):
    script = (
        "import sys, pyarrow as pa; from tausweep.orchestrator.terminal.query_output import write_answer; "
        f"write_answer(pa.table({{'a': list(range(20000))}}), {form!r}, None)"
    )
    path = tmp_path / "piped"
    path.write_bytes(
        subprocess.run(python("-c", script), capture_output=True, check=True, env=ENVIRONMENT).stdout
    )
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[form]
    assert read(path)["a"].tolist() == list(range(20000))


# --- tables --------------------------------------------------------------------------------------------------------


def test_a_table_has_a_line_a_row_and_nothing_where_nothing_is():
    lines = printed(ANSWER).decode().splitlines()
    assert lines[0].split() == ANSWER.column_names
    assert lines[1].split() == ["a", "16", "0.1", "True", "[1,", "2]", "2026-11-24"]
    assert len(lines) == 4
    assert "None" not in "".join(lines)


@pytest.mark.parametrize("text", ["[bold]", "[/red]", "\\[/b]", ":smile:", "[link=x]y", "a\\", "[[]]"])
def test_text_that_looks_like_markup_is_printed_as_it_is(text):
    lines = printed(pa.table({text: [text]})).decode().splitlines()
    assert [line.strip() for line in lines] == [text, text]


def test_a_long_table_says_how_many_rows_are_not_shown():
    lines = printed(pa.table({"a": list(range(1007))})).decode().splitlines()
    assert len(lines) == 1002
    assert lines[-1] == "… and 7 more rows; --format csv prints all"


# --- what can't be -------------------------------------------------------------------------------------------------


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(
        InputError, match=r"--format parket: did you mean 'parquet'\? Allowed: csv, json, parquet, table"
    ):
        write_answer(ANSWER, "parket", tmp_path / "x")


def test_a_table_is_not_written_to_a_file(tmp_path):
    with pytest.raises(InputError, match="--out: give --format csv, json or parquet"):
        write_answer(ANSWER, "table", tmp_path / "x")


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
@pytest.mark.parametrize("where", ["file.txt/answer", "folder"])
def test_a_path_that_cannot_be_written_is_one_error_and_leaves_nothing(tmp_path, form, where):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"--out .*{where}: can't be written"):
        write_answer(ANSWER, form, tmp_path / where)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.txt", "folder"]


@pytest.mark.parametrize(
    ("form", "expression"),
    [("csv", "INTERVAL 1 MONTH"), ("parquet", "INTERVAL 1 MONTH"), ("csv", "'\\xFF'::BLOB")],
)
def test_a_type_that_a_format_does_not_have_is_one_error_and_leaves_nothing(
    store, tmp_path, form, expression
):
    with pytest.raises(InputError, match=f"--format {form}: .*cast the column"):
        written(ask(store, f"SELECT {expression} AS x"), form, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_answer_replaces_an_older_file(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("old")
    write_answer(ANSWER, "json", path)
    assert len(json.loads(path.read_text())) == 3
