"""`read_table`: what is asked for and nothing else, from parts and merged files alike, for any tool that knows Arrow."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.storage.errors import CorruptFileError, InputError
from tausweep.storage.layout import PartName, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.schemas import KEYS, SCHEMAS
from tests.unit.storage.tables.test_scan import attempt, measure, publish_each_table

RUN_IDS = [digit * 20 for digit in "abc"]
METRICS = [("f_mem", None), ("test_loss", 50.0), ("test_loss", 150.0), ("frechet_pca", None)]


# --- against the rule in plain Python ------------------------------------------------------------------------------

KEY = st.tuples(st.integers(0, 6), st.sampled_from(METRICS))
RUN = st.lists(st.tuples(st.none() | st.integers(0, 6), st.sets(KEY, max_size=6)), max_size=3)
"""Attempts: the tau from which each resumed (None: it died before it knew), and what it measured."""
NAMES = st.sampled_from([*{name for name, _ in METRICS}, "no_such_metric"])
BOUND = st.none() | st.integers(-1, 7)
QUESTION = st.fixed_dictionaries(
    {
        "run_ids": st.none() | st.lists(st.sampled_from([*RUN_IDS, "f" * 20]), unique=True),
        "metrics": st.none() | st.lists(NAMES, unique=True),
        "tau": st.none() | st.tuples(BOUND, BOUND),
        "columns": st.none() | st.lists(st.sampled_from(SCHEMAS["metrics"].names), unique=True, min_size=1),
    }
)


def row(run_id, number, tau, metric, t):
    value = 1000.0 * number + 10 * tau + METRICS.index((metric, t))
    return {
        "run_id": run_id,
        "attempt": number,
        "tau": tau,
        "images_seen": 16 * tau,
        "t": t,
        "metric": metric,
        "value": value,
        "wall_time": 0.0,
    }


def expected(runs, *, run_ids, metrics, tau, columns):
    """The attempt rule word by word, then the question, then the order."""
    low, high = tau or (None, None)
    kept = {}
    for run_id, attempts in runs.items():
        for number, (_, keys) in enumerate(attempts, start=1):
            cuts = [start for start, _ in attempts[number:] if start is not None]
            for at, (metric, t) in keys:
                if all(at <= cut for cut in cuts):
                    kept[run_id, at, metric, t is None, t] = row(run_id, number, at, metric, t)
    return [
        {name: found[name] for name in columns or found}
        for _, found in sorted(kept.items())
        if (run_ids is None or found["run_id"] in run_ids)
        and (metrics is None or found["metric"] in metrics)
        and (low is None or found["tau"] >= low)
        and (high is None or found["tau"] <= high)
    ]


@settings(max_examples=25, deadline=None)
@given(
    runs=st.fixed_dictionaries(dict.fromkeys(RUN_IDS, RUN)),
    merged=st.sets(st.sampled_from(RUN_IDS)),
    question=QUESTION,
)
def test_the_answer_is_that_of_the_rule_in_plain_python(runs, merged, question):
    with tempfile.TemporaryDirectory() as folder:
        store = StoreLayout(Path(folder))
        for run_id, attempts in runs.items():
            run = store.run(run_id)
            run.path.mkdir(parents=True)
            for number, (resumed, keys) in enumerate(attempts, start=1):
                attempt(run, number, resumed_from_tau=resumed)
                rows = [row(run_id, number, tau, *metric) for tau, metric in keys]
                measure(run, {(r["tau"], r["metric"], r["t"]): r["value"] for r in rows}, number=number)
        compact(store, merged)
        assert read_table(store, "metrics", **question).to_pylist() == expected(runs, **question)


# --- questions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def study(store, make_run):
    """Two runs with two parts of metrics each."""
    for seed in range(2):
        run = make_run(store, seed=seed)
        attempt(run)
        writer = PartWriter(run, attempt=1)
        publish_each_table(run, writer)
        measure(run, {(30, m, t): 0.5 + tau for tau, (m, t) in enumerate(METRICS)}, writer=writer)
    return store


@pytest.fixture(params=["parts", "merged"])
def stored(study, request, monkeypatch):
    """The same once from parts, and once from a merged file in which each row is a row group."""
    if request.param == "merged":
        monkeypatch.setattr("tausweep.storage.tables.parquet._ROW_GROUP_ROWS", 1)
        compact(study)
    return study


def test_columns_come_in_the_order_asked_for_with_their_types(stored):
    rows = read_table(stored, "metrics", columns=["value", "tau"])
    assert rows.schema == pa.schema([SCHEMAS["metrics"].field(name) for name in ("value", "tau")])
    assert rows.schema.metadata == SCHEMAS["metrics"].metadata


def test_a_column_that_is_not_there_is_refused_with_those_that_are(study):
    with pytest.raises(InputError, match="table metrics: no column epoch; it has run_id, attempt, tau"):
        read_table(study, "metrics", columns=["tau", "epoch"])


@pytest.mark.parametrize("table", ["neighbours", "samples"])
def test_a_table_without_metrics_can_not_be_asked_for_some(study, table):
    with pytest.raises(InputError, match=f"table {table}: this table has no column metric"):
        read_table(study, table, metrics=["f_mem"])


@pytest.mark.parametrize(
    ("tau", "found"), [((11, None), {30}), ((None, 29), {10}), ((10, 30), {10, 30}), ((31, None), set())]
)
def test_bounds_of_tau_are_included_and_may_be_left_open(stored, tau, found):
    assert set(read_table(stored, "metrics", tau=tau)["tau"].to_pylist()) == found


def test_a_metric_of_any_name_can_be_asked_for(store, make_run):
    run = make_run(store)
    attempt(run)
    measure(run, {(10, "o'clock", None): 1.0, (10, "f_mem", None): 2.0})
    assert read_table(store, "metrics", metrics=["o'clock"])["value"].to_pylist() == [1.0]


# --- what is not asked for is not read -----------------------------------------------------------------------------


def damage(path, *, where=lambda group, column: True):
    """Flip a bit in the pages of the row groups and columns chosen; only reading them shows it."""
    metadata = pq.read_metadata(path)
    content = bytearray(path.read_bytes())
    for number in range(metadata.num_row_groups):
        chunks = [metadata.row_group(number).column(i) for i in range(metadata.num_columns)]
        statistics = {chunk.path_in_schema: chunk.statistics for chunk in chunks}
        for chunk in chunks:
            if where(statistics, chunk.path_in_schema):
                first = chunk.dictionary_page_offset or chunk.data_page_offset
                content[first + chunk.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(content)


def metric_files(store):
    parts = [part for run_id in store.run_ids() for part in store.run(run_id).parts("metrics")]
    return [*parts, *store.merged_files("metrics")]


def of_another_metric(group, column):
    return group["metric"].max != "f_mem"


def of_an_early_tau(group, column):
    return group["tau"].max < 30


def of_an_unwanted_column(group, column):
    return column in ("wall_time", "images_seen")


@pytest.mark.parametrize(
    ("where", "question"),
    [
        (of_an_early_tau, {"tau": (30, None)}),
        (of_an_unwanted_column, {"columns": ["tau", "t", "metric", "value"]}),
    ],
)
def test_what_is_not_asked_for_may_be_damaged(stored, where, question):
    before = read_table(stored, "metrics", **question)
    for path in metric_files(stored):
        damage(path, where=where)
    assert before.num_rows > 0
    assert read_table(stored, "metrics", **question) == before
    with pytest.raises(CorruptFileError):
        read_table(stored, "metrics")


@pytest.mark.parametrize("stored", ["merged"], indirect=True)
def test_row_groups_of_other_metrics_may_be_damaged(stored):
    before = read_table(stored, "metrics", metrics=["f_mem"])
    damage(*metric_files(stored), where=of_another_metric)
    assert read_table(stored, "metrics", metrics=["f_mem"]) == before
    with pytest.raises(CorruptFileError):
        read_table(stored, "metrics")


def test_files_of_other_runs_may_be_damaged(study):
    wanted, other = map(study.run, study.run_ids())
    before = read_table(study, "metrics", [wanted.run_id])
    for part in other.parts("metrics"):
        part.write_text("not Parquet")
    assert read_table(study, "metrics", [wanted.run_id]) == before
    with pytest.raises(CorruptFileError, match=other.run_id):
        read_table(study, "metrics")


@pytest.mark.parametrize("stored", ["merged"], indirect=True)
def test_row_groups_of_other_runs_may_be_damaged(stored):
    wanted, other = stored.run_ids()
    before = read_table(stored, "metrics", [wanted])
    damage(*metric_files(stored), where=lambda group, column: group["run_id"].max == other)
    assert read_table(stored, "metrics", [wanted]) == before
    with pytest.raises(CorruptFileError):
        read_table(stored, "metrics")


def test_a_file_that_is_left_out_is_told_once_also_when_the_reader_starts_over(study, monkeypatch):
    """A compaction takes files away while rows are read; it can not take the damaged run's."""
    from tausweep.storage.tables import scan

    good, bad = map(study.run, study.run_ids())
    victim = bad.part("metrics", PartName(attempt=1, seq=0))
    victim.write_bytes(victim.read_bytes()[:-9])
    create = scan.create_views

    def slow(*arguments):
        create(*arguments)
        monkeypatch.setattr(scan, "create_views", create)
        compact(study, [good.run_id])

    monkeypatch.setattr(scan, "create_views", slow)
    left_out = []
    rows = read_table(study, "metrics", bad=left_out)
    assert rows.num_rows == 1 + 2 * len(METRICS)
    assert [str(error).partition(": ")[0] for error in left_out] == [str(victim)]


# --- out -----------------------------------------------------------------------------------------------------------


def test_pandas_polars_and_duckdb_see_the_same_values(stored):
    rows = read_table(stored, "metrics")
    values = rows["value"].to_pylist()
    assert np.array_equal(rows.to_pandas()["value"], values)
    assert pl.from_arrow(rows)["value"].to_list() == values
    with duckdb.connect() as connection:
        assert connection.sql("SELECT value FROM rows").fetchnumpy()["value"].tolist() == values


@pytest.mark.parametrize("table", KEYS)
def test_any_table_goes_to_pandas_and_polars_with_its_columns(stored, table):
    rows = read_table(stored, table)
    assert list(rows.to_pandas().columns) == pl.from_arrow(rows).columns == SCHEMAS[table].names
