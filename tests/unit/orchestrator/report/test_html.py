"""The report's page: one file, escaped, honest about what is not there."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pyarrow as pa
import pytest

from tausweep.orchestrator.report.tables import provenance
from tests.unit.orchestrator.finished_store import finish, prepared, run_command, write_sweep
from tests.unit.orchestrator.report.report_material import HOSTILE, report
from tests.unit.orchestrator.synthetic_study import empty, study


def data_of(page):
    """What the page's script reads."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def text_of(page):
    """The page without scripts and styles, tags removed."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    return re.sub(r"<[^>]*>", " ", bare)


def test_the_page_loads_nothing_from_outside(tmp_path):
    page = report(study(seeds=(0,)), tmp_path)
    assert "default-src 'none'" in page
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    assert re.findall(r"(?:src|href)=[\"'](?!data:|#)", bare) == []
    assert "Plotly" in page


def test_fits_intervals_and_censored_runs_are_in_the_tables(tmp_path):
    text = text_of(report(study(steps=3000), tmp_path))
    for words in (
        "f_mem=0.1@k1/2",
        "loss_gap=0.1@t150",
        "frechet_pca≤1.25·min",
        "n* without end of training",
    ):
        assert words in text
    assert re.search(r"not converged", text)


def test_the_slider_has_the_states_of_every_budget(tmp_path):
    data = data_of(report(study(steps=3000), tmp_path))
    first, last = data["budgets"][0], data["budgets"][-1]
    assert last["tau"] == 3000
    assert [p["state"] for p in last["points"]] == ["memorises"] * 3 + ["generalises"]
    assert "memorises" not in [p["state"] for p in first["points"]]
    assert last["boundaries"][0]["low"] < last["boundaries"][0]["estimate"] < last["boundaries"][0]["high"]


def test_curves_of_every_run_and_measure_are_in_the_data(tmp_path):
    data = data_of(report(study(seeds=(0, 1)), tmp_path))
    assert len(data["runs"]) == 8
    assert {
        "f_mem (k = 1/3)",
        "f_mem (k = 1/2)",
        "f_mem (k = 1/4)",
        "frechet_pca",
        "test loss at t = 150",
    } <= set(data["measures"])
    run = data["runs"][0]
    assert all(len(curve["y"]) == len(data["taus"][curve["x"]]) for curve in run["curves"].values())


def test_the_gallery_shows_two_neighbours_and_marks_copies(tmp_path):
    page = report(study(seeds=(0,)), tmp_path)
    assert len(re.findall('<img alt="[a-z ]+" src="data:image/png;base64,', page)) == 4 * 8 * 3
    assert 'figure class="memorised"' in page


def test_text_of_users_and_errors_is_escaped(tmp_path):
    page = report(
        study(seeds=(0,)), tmp_path, sweep=HOSTILE, failures=[("error", HOSTILE, HOSTILE)], source=HOSTILE
    )
    assert "<script>window.broken" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_an_empty_sweep_says_so_and_invents_nothing(tmp_path):
    page = report(empty(), tmp_path)
    text = text_of(page)
    assert "has a measurement yet, so there is nothing to conclude" in text
    assert "No run has failed." in text
    assert data_of(page)["runs"] == data_of(page)["budgets"] == []


def test_an_all_censored_sweep_has_no_number_where_nothing_crossed(tmp_path):
    page = report(study(steps=150), tmp_path)
    assert "none of 12 runs was seen to cross within its budget" in text_of(page)
    assert all(
        fit["exponent"] is None for fit in data_of(page)["fits"] if fit["criterion"].startswith("f_mem")
    )


def test_a_diff_is_told_by_its_length_and_digest():
    diff = "diff --git a/x b/x\n" + "+ a line\n" * 400
    (row,) = provenance(pa.table({"git_diff": [diff]})).rows
    assert row[0] == "git_diff"
    assert row[1].startswith("401 lines, sha256 ")
    assert provenance(pa.table({"host": ["vm", "vm"]})).rows == [["host", "vm"]]


def test_runs_without_a_measurement_are_named_and_listed(tmp_path):
    tables = study(seeds=(0,))
    partial = replace(tables, metrics=tables.metrics.slice(0, 0), neighbours=tables.neighbours.slice(0, 4000))
    page = report(partial, tmp_path)
    assert "no measurement yet from" in text_of(page)
    assert len(data_of(page)["table"]) == 4


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(store, tmp_path):
    plan = prepared(write_sweep(tmp_path), store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    return store


def test_report_writes_one_file_and_says_how_large(finished, tmp_path):
    done = run_command("report", "tiny", "-o", tmp_path / "out" / "r.html", store=finished.root)
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "out" / "r.html").read_text()
    assert f"{tmp_path}/out/r.html  (" in done.out
    assert "tausweep resolve tiny" in text_of(page)
    assert "name: tiny" in page  # the sweep file


def test_report_shows_the_view_it_was_made_with(finished, tmp_path):
    out = tmp_path / "r.html"
    done = run_command("report", "tiny", "n=4", "-o", out, "--k", "1/2", "--criterion", "f_mem=0.2", "--isotonic",
                    store=finished.root)  # fmt: skip
    assert done.code == 0
    text = text_of(out.read_text())
    assert "n=4 --k 1/2 --isotonic --criterion f_mem=0.2" in text
    assert "1/2, isotonic" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "2"], "0 < k ≤ 1"),
        (["--criterion", "f_men=0.1"], "no such criterion"),
        (["--criterion", "f_mem=0.1", "--criterion", "f_mem=0.1"], "given twice"),
        (["nn=4"], "did you mean 'n'?"),
    ],
)
def test_wrong_input_is_one_message_and_writes_nothing(finished, tmp_path, arguments, words):
    done = run_command("report", "tiny", *arguments, "-o", tmp_path / "r.html", store=finished.root)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "r.html").exists()


def test_a_page_that_cannot_be_written_is_one_message(finished, tmp_path):
    (tmp_path / "file").write_text("")
    done = run_command("report", "tiny", "-o", tmp_path / "file" / "r.html", store=finished.root)
    assert (done.code, "can't be written" in done.err) == (2, True)
