"""The commands that ask, tend and move a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.sql import query
from tests.unit.orchestrator.finished_store import (
    begin,
    end,
    fail,
    finish,
    lose,
    prepared,
    refused,
    run_command,
    write_sweep,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A sweep of eight runs: five done, of which one at the second attempt, one failed, one lost, one pending."""
    folder = tmp_path_factory.mktemp("template")
    store = StoreLayout(folder / "store")
    runs = [store.run(run.run_id) for run in prepared(write_sweep(folder), store).runs]
    end(runs[0], begin(runs[0]), state="preempted", tau=0)
    for run in runs[:5]:
        finish(run)
    fail(runs[5])
    lose(runs[6])
    return store


@pytest.fixture
def study(template, store):
    shutil.copytree(template.root, store.root)
    return store


def ask(store, *arguments):
    done = run_command(*arguments, store=store.root)
    assert (done.code, done.err) == (0, "")
    return done.out


def parts(store, table="metrics"):
    return sorted(store.root.rglob(f"{table}/1-000000.parquet"))


def truncate(part):
    part.write_bytes(part.read_bytes()[:-9])


def put_text_there(part):
    part.write_text("tau,value\n1,2\n")


def put_another_schema_there(part):
    pq.write_table(pa.table({"epoch": [1], "loss": [0.5]}), part)


# --- query ---------------------------------------------------------------------------------------------------------


def test_a_query_that_takes_too_long_is_given_up(study):
    sql = "SELECT count(*) FROM range(10000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"
    done = run_command("query", sql, "--timeout", "0.3", store=study.root)
    assert (done.code, done.out) == (2, "")
    assert done.err == "tausweep: query: not answered within 0.3 s; ask for less, or give --timeout more\n"


def test_a_query_within_its_time_is_answered(study):
    assert json.loads(ask(study, "query", "SELECT 1 AS one", "--timeout", "60", "--json")) == [{"one": 1}]


# --- bad files -----------------------------------------------------------------------------------------------------

DAMAGES = [truncate, put_text_there, put_another_schema_there]
COMMANDS = [["query", "SELECT count(*) AS rows FROM metrics", "--json"], ["resolve", "tiny", "--json"]]


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, *([name, "tiny"] for name in ("figures", "report", "refine"))],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_file_is_one_error_that_names_it_and_nothing_is_answered(study, command, damage):
    part = parts(study)[0]
    damage(part)
    done = run_command(*command, store=study.root)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"tausweep: {part}: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_skip_bad_a_query_answers_from_the_other_files(study, damage):
    rows = json.loads(ask(study, *COMMANDS[0]))[0]["rows"]
    part = parts(study)[0]
    rows -= pq.read_metadata(part).num_rows
    damage(part)
    done = run_command(*COMMANDS[0], "--skip-bad", store=study.root)
    assert (done.code, json.loads(done.out)) == (0, [{"rows": rows}])
    assert left_out(done) == [part]


def left_out(done):
    """The files named on stderr, one a line."""
    lines = [line.removeprefix("tausweep: left out: ") for line in done.err.splitlines()]
    return [Path(line.partition(": ")[0]) for line in lines]


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_skip_bad_a_sweep_is_resolved_as_if_the_files_had_not_been_written(study, damage):
    bad = [parts(study)[0], parts(study, "neighbours")[1]]
    for part in bad:
        damage(part)
    done = run_command(*COMMANDS[1], "--skip-bad", store=study.root)
    assert (done.code, left_out(done)) == (0, bad)
    for part in bad:
        part.unlink()
    assert json.loads(done.out) == json.loads(ask(study, *COMMANDS[1]))


def test_with_skip_bad_figures_are_drawn_from_the_other_files(study):
    bad = [parts(study, table)[0] for table in ("metrics", "neighbours", "samples")]
    for damage, part in zip(DAMAGES, bad, strict=True):
        damage(part)
    done = run_command("figures", "tiny", "--skip-bad", store=study.root)
    assert (done.code, left_out(done)) == (0, bad)
    drawn = {path.stem for path in study.figures("tiny").glob("*.png")}
    assert drawn == {"f_mem_vs_tau", "collapse", "losses", "tau_vs_n", "phase_diagram", "samples"}
    assert "residuals: not drawn, no law has more runs than coefficients" in done.out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_with_skip_bad_nothing_is_said_of_a_clean_store(study, command):
    assert ask(study, *command, "--skip-bad") == ask(study, *command)


# --- compact, check ------------------------------------------------------------------------------------------------


def test_compact_says_what_it_did_and_the_fits_stay_the_same(study):
    before = ask(study, "resolve", "tiny", "--json")
    done = json.loads(ask(study, "compact", "tiny", "--json"))
    assert {table["table"]: table["files"] for table in done} == {"metrics": 1, "neighbours": 1, "samples": 1}
    assert ask(study, "resolve", "tiny", "--json") == before
    assert "metrics: 0 parts removed, 0 merged files written" in ask(study, "compact")


def test_compact_of_an_unknown_sweep_is_refused(study):
    done = run_command("compact", "tyni", store=study.root)
    assert done.code == 2
    assert "no such sweep" in done.err


def test_check_of_a_clean_store_ends_well(study):
    shutil.rmtree(
        study.run(query(study, "SELECT run_id FROM runs WHERE failure = 'lost_worker'")[0][0].as_py()).path
    )
    done = run_command("store", "check", store=study.root)
    assert (done.code, "sweep tiny names it" in done.out) == (1, True)


def test_check_lists_what_is_wrong_and_repairs_it_on_request(study):
    path = parts(study)[0]
    truncate(path)
    (study.root / "notes.txt").write_text("x")
    claim = study.run(
        query(study, "SELECT run_id FROM runs WHERE failure = 'lost_worker'")[0][0].as_py()
    ).claim
    done = run_command("store", "check", "--json", store=study.root)
    assert done.code == 1
    found = {row["path"]: (row["kind"], row["done"]) for row in json.loads(done.out)}
    assert found == {
        str(path): ("damaged", None),
        str(study.root / "notes.txt"): ("orphan", None),
        str(claim): ("stale claim", None),
    }
    done = run_command("store", "check", "--repair", store=study.root)
    assert f"{claim}: the attempt it belongs to is not running; removed" in done.out
    assert "3 findings, 0 left" in done.out
    assert done.code == 0
    assert not path.exists()


# --- export, import ------------------------------------------------------------------------------------------------


def test_a_sweep_goes_out_as_a_folder_and_into_another_store(study, tmp_path):
    assert "8 runs exported" in ask(study, "export", "tiny", "--out", str(tmp_path / "out"))
    other = StoreLayout(tmp_path / "other")
    assert "8 runs imported, 0 were there" in ask(other, "import", str(tmp_path / "out"))
    assert ask(other, "resolve", "tiny", "--json") == ask(study, "resolve", "tiny", "--json")


def test_evaluations_go_out_as_one_table_that_can_not_be_imported(study, tmp_path):
    file = tmp_path / "out.parquet"
    ask(study, "export", "tiny", "-o", str(file))
    table = pq.read_table(file)
    assert table.num_rows == query(study, "SELECT count(*) AS n FROM evaluations")["n"][0].as_py()
    assert {"n", "W", "tau", "frechet_pca"} <= set(table.column_names)
    done = run_command("import", str(file), store=tmp_path / "other")
    assert (done.code, "a single table can't be imported" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give either --out FOLDER, or -o FILE.parquet"),
        (["--out", "a", "-o", "b.parquet"], "give either"),
        (["-o", "folder"], "for a folder give --out"),
        (["--out", "a.parquet"], "for one table give -o a.parquet"),
        (["-o", "a.parquet", "--checkpoints"], "--checkpoints: a.parquet holds evaluations only"),
    ],
)
def test_export_is_told_where_to_in_one_way(options, words, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    refused(run_command("export", "tiny", *options, store=study.root), words)
    assert sorted(tmp_path.iterdir()) == before


def test_import_of_a_folder_that_is_no_store_is_refused(study, tmp_path):
    done = run_command("import", str(tmp_path), store=study.root)
    assert (done.code, "this store has no sweep" in done.err) == (2, True)


def test_a_sweep_without_a_measurement_is_resolved_in_words(store, tmp_path):
    prepared(write_sweep(tmp_path), store)
    done = run_command("resolve", "tiny", store=store.root)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "tiny: no run has a measurement yet, there is nothing to fit\nnote: no measurement"
    )
    assert json.loads(run_command("resolve", "tiny", "--json", store=store.root).out)["fits"] == []
