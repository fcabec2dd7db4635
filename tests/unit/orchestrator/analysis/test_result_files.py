"""Results as files: a versioned JSON that its schema describes, and a tidy table of all estimates."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest

from tausweep.orchestrator.analysis.result_files import ESTIMATES, estimates, read_result, write_result
from tausweep.orchestrator.analysis.runs.results import FitResult
from tausweep.orchestrator.api import resolve
from tausweep.storage.errors import CorruptFileError, InputError, SchemaError
from tests.unit.orchestrator.synthetic_study import empty, study

SCHEMA = Path(__file__).parents[4] / "docs" / "fit-result.schema.json"


@pytest.fixture(scope="module")
def result():
    tables = study(widths=(8, 16), optimizers=("adam", "sgd"), steps=3000)
    return resolve(*tables.measured, sweep="synthetic", draws=50)


def test_the_schema_in_the_docs_is_that_of_the_code():
    assert json.loads(SCHEMA.read_text()) == FitResult.model_json_schema(), "run: make schema"


@pytest.mark.parametrize(
    "tables", [empty(), study(steps=150), study()], ids=["empty", "all censored", "full"]
)
def test_every_result_fits_the_schema(tables):
    made = resolve(*tables.measured, sweep="synthetic", draws=20)
    jsonschema.validate(made.model_dump(mode="json"), json.loads(SCHEMA.read_text()))


def test_json_reads_back_the_same(result, tmp_path):
    write_result(result, tmp_path / "fit.json")
    assert read_result(tmp_path / "fit.json") == result


def test_parquet_has_a_row_an_estimate(result, tmp_path):
    write_result(result, tmp_path / "fit.parquet")
    table = pq.read_table(tmp_path / "fit.parquet")
    assert table.schema.equals(ESTIMATES, check_metadata=True)
    rows = table.to_pylist()
    kinds = {"fit", "law", "competing law", "collapse", "timescale", "boundary", "line"}
    assert {row["kind"] for row in rows} == kinds
    fit = next(f for f in result.fits if f.criterion == "f_mem=0.1" and f.W == 8 and f.optimizer == "sgd")
    (row,) = [
        row for row in rows
        if (row["kind"], row["quantity"], row["criterion"], row["W"]) == ("fit", "exponent", "f_mem=0.1", 8)
        and row["group"].startswith("sgd")
    ]  # fmt: skip
    assert (row["estimate"], row["low"], row["high"]) == tuple(fit.exponent.model_dump().values())
    assert (row["n_points"], row["n_censored"]) == (fit.n_points, fit.n_censored)


def test_estimates_of_an_empty_result_are_an_empty_table():
    made = resolve(*empty().measured, sweep="synthetic", draws=20)
    assert estimates(made).num_rows == 0


def test_a_result_of_another_version_is_refused_by_name(result, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(result.model_dump(mode="json") | {"fit_version": 2}))
    with pytest.raises(SchemaError, match=r"old\.json: fit_version 2; this version of tausweep reads 3"):
        read_result(path)


@pytest.mark.parametrize("text", ["not json", "[]", '{"fit_version": 3}'])
def test_what_is_no_result_is_refused_by_name(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises((CorruptFileError, SchemaError), match=r"bad\.json"):
        read_result(tmp_path / "bad.json")


def test_a_name_that_says_no_form_is_refused(result, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.json"):
        write_result(result, tmp_path / "fit.txt")
    assert list(tmp_path.iterdir()) == []
