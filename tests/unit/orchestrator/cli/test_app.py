"""The command line: help, one message for what is wrong, JSON that parses, and readers that write nothing.

Runs are finished without training (see `finished_store`); real sweeps are in `tests/integration`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.metadata import version

import pytest
from PIL import Image

import tausweep
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout
from tests.unit.orchestrator.finished_store import (
    ENVIRONMENT,
    SWEEP,
    begin,
    end,
    fail,
    finish,
    lose,
    prepared,
    python,
    refused,
    run_command,
    write_specs,
    write_sweep,
)

COMMANDS = (
    "plan",
    "run",
    "submit",
    "resume",
    "status",
    "logs",
    "cancel",
    "query",
    "compact",
    "export",
    "export-pipeline",
    "import",
    "resolve",
    "figures",
    "report",
    "refine",
    "spectrum",
)
OF_A_STORED_SWEEP = ("resume", "status", "logs", "cancel", "resolve", "figures", "report", "refine")
MARKUP = "bad [bold]value[/bold] at [/red] :smile: \\[x]"


@pytest.fixture
def file(tmp_path):
    return write_sweep(tmp_path)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A sweep of eight runs: four done, one failed, one lost, one preempted, one pending."""
    folder = tmp_path_factory.mktemp("template")
    store = StoreLayout(folder / "store")
    runs = [store.run(run.run_id) for run in prepared(write_sweep(folder), store).runs]
    for run in runs[:4]:
        finish(run)
    fail(runs[4], error=f"ValueError: {MARKUP}", traceback=f"Traceback\n  in train\nValueError: {MARKUP}\n")
    lose(runs[5])
    end(runs[6], begin(runs[6]), state="preempted", tau=20)
    return store


@pytest.fixture
def study(template, store):
    """A store of its own for each test."""
    shutil.copytree(template.root, store.root)
    return store


@pytest.fixture
def ask(study):
    """`ask(command, *arguments)` on that store; it must succeed."""

    def ask(*arguments):
        done = run_command(*arguments, store=study.root)
        assert (done.code, done.err) == (0, "")
        return done.out

    return ask


def start(*arguments):
    """A Python of its own, for what this process has loaded already."""
    return subprocess.run(
        python(*arguments), capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False
    )


def files(store):
    return sorted(path for path in store.root.rglob("*") if path.is_file())


def strict(text):
    """JSON as the standard has it."""

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


_AT_80_COLUMNS = """
import os
os.environ["COLUMNS"] = "80"
from tausweep import main
main()
"""


# --- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [*COMMANDS, "store check", "data celeba", "data import", "data list", "data fid-weights"]
)
def test_every_command_has_help(command, store):
    done = start("-m", "tausweep", *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: python -m tausweep {command}")
    assert ("--store" in done.stdout) == (command != "spectrum")  # which needs no store


def test_help_lists_every_command_under_one_heading_and_hides_what_is_not_for_users():
    page = start("-m", "tausweep", "--help").stdout.partition("  --help")[2].splitlines()[1:]
    headings = [line for line in page if line and not line.startswith(" ")]
    assert headings == ["Run:", "Watch:", "Results:", "Store:", "Data:"]
    listed = [line.split()[0] for line in page if line.startswith("  ")]
    assert sorted(listed) == sorted([*COMMANDS, "data", "store"])


@pytest.mark.parametrize("group", ["", "store", "data"])
def test_no_summary_of_a_command_is_cut_at_80_columns(group):
    page = start("-c", _AT_80_COLUMNS, *group.split(), "--help").stdout
    summaries = [line for line in page.partition("  --help")[2].splitlines()[1:] if line.startswith("  ")]
    assert summaries
    assert all(line.endswith(".") and not line.endswith("...") and len(line) <= 80 for line in summaries)


def test_version_is_printed():
    done = start("-m", "tausweep", "--version")
    assert done.stdout == f"tausweep {tausweep.__version__}\n"
    assert tausweep.__version__ == version("tausweep")


# --- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", OF_A_STORED_SWEEP)
def test_a_store_that_is_not_there_is_refused_and_not_made(command, tmp_path):
    refused(
        run_command(command, "tiny", store=tmp_path / "no"),
        f"--store {tmp_path / 'no'}",
        "is the path right?",
    )
    assert not (tmp_path / "no").exists()


def test_a_query_to_a_store_that_is_not_there_is_refused(tmp_path):
    refused(run_command("query", "SELECT 1", store=tmp_path / "no"), "is the path right?")


@pytest.mark.parametrize("command", OF_A_STORED_SWEEP)
def test_an_unknown_sweep_is_refused_with_the_nearest(command, study):
    refused(
        run_command(command, "tinny", store=study.root), "tinny", "'tiny'" if command != "logs" else "tiny"
    )


@pytest.mark.parametrize("command", [c for c in OF_A_STORED_SWEEP if c != "logs"])
@pytest.mark.parametrize(
    ("where", "words"),
    [("optimiser=adam", "did you mean 'optimizer'?"), ("n", "key=value is needed"), ("n=", "empty value")],
)
def test_a_wrong_filter_is_refused(command, where, words, study, snapshot):
    before = snapshot(study.root)
    refused(run_command(command, "tiny", where, store=study.root), words)
    assert snapshot(study.root) == before


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT * FROM runz", "DROP TABLE runs", "SELECT 1; SELECT 2", ""]
)
def test_a_wrong_query_is_refused(sql, study):
    refused(run_command("query", sql, store=study.root), "query: ")


@pytest.mark.parametrize(("option", "value"), [("--format", "xls"), ("--out", "/dev/null/x")])
def test_a_wrong_format_or_output_of_a_query_is_refused(option, value, study):
    arguments = ["--format", "csv"] if option == "--out" else []
    refused(run_command("query", "SELECT 1 AS a", *arguments, option, value, store=study.root), option)


def test_a_wrong_format_of_figures_is_refused(study):
    refused(run_command("figures", "tiny", "--format", "gif", store=study.root), "--format gif", "png")


@pytest.mark.parametrize("target", ["0000", "ffff"])
def test_the_log_of_an_unknown_run_is_refused(target, study):
    refused(run_command("logs", target, store=study.root), target)


def test_a_store_that_is_a_file_is_refused(file, tmp_path):
    (tmp_path / "store").write_text("x")
    done = run_command("run", file, store=tmp_path / "store")
    refused(done, "this user can't write into")
    assert (tmp_path / "store").read_text() == "x"


def test_a_corrupt_image_is_refused_by_run_and_no_file_is_left(tmp_path, store):
    (tmp_path / "images").mkdir()
    for i in range(20):
        Image.new("L", (9, 9), i).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "images" / "7.png").write_bytes(b"no image")
    text = SWEEP.replace("data: digits", "data: folder\n  size: 8\n  test_images: 8") + "folder: images\n"
    write_specs(write_sweep(tmp_path, text), store)
    before = files(store)
    done = run_command("run", tmp_path / "tiny.yaml", store=store.root)
    refused(done, "images/7.png: not a readable image")
    assert files(store) == before


# --- readers write nothing -----------------------------------------------------------------------------------------

READERS = [
    ["plan", "{file}"],
    ["plan", "{file}", "--json"],
    ["status"],
    ["status", "--json"],
    ["status", "tiny"],
    ["status", "tiny", "state=failed", "--json"],
    ["logs", "tiny"],
    ["logs", "tiny", "--failed"],
    ["logs", "tiny", "--json"],
    ["query", "SELECT * FROM runs"],
    ["query", "SELECT count(*) AS rows FROM evaluations", "--json"],
    ["resolve", "tiny"],
    ["resolve", "tiny", "--json"],
]


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_reader_touches_nothing(arguments, ask, file, study, snapshot):
    before = snapshot(study.root)
    assert ask(*(argument.format(file=file) for argument in arguments)).strip()
    assert snapshot(study.root) == before


def test_figures_write_into_their_folder_only(study, tmp_path, snapshot):
    before = snapshot(study.root)
    done = run_command("figures", "tiny", "--out", tmp_path / "figures", store=study.root)
    assert (done.code, done.err) == (0, "")
    assert snapshot(study.root) == before
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} >= {".png"}


# --- JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [reader for reader in READERS if "--json" in reader], ids=" ".join)
def test_json_parses_and_has_no_nan(arguments, ask, file):
    assert strict(ask(*(argument.format(file=file) for argument in arguments)))


def test_the_json_of_a_plan_has_the_counts_and_the_runs(ask, file):
    plan = strict(ask("plan", file, "--json"))
    assert plan["counts"] == {"runs": 8, "succeeded": 4, "failed": 2, "preempted": 1, "pending": 1}
    assert plan["steps_left"] == 4 * 60 - 20 - 3
    assert [run["state"] for run in plan["runs"]][4:] == ["failed", "failed", "preempted", "pending"]
    assert {"run_id", "n", "W", "p", "lr", "tau"} <= plan["runs"][0].keys()


def test_the_json_of_status_has_every_sweep_of_the_store(ask, file, study):
    prepared(file, study, ["name=other", "n=4"])
    sweeps = strict(ask("status", "--json"))
    assert [(sweep["sweep"], sweep["counts"]["runs"]) for sweep in sweeps] == [("other", 4), ("tiny", 8)]


def test_the_json_of_failures_has_groups_with_runs_and_logs(ask):
    groups = strict(ask("logs", "tiny", "--failed", "--json"))
    assert sorted(group["failure"] for group in groups) == ["error", "lost_worker"]
    assert all(len(group["run_ids"]) == len(group["logs"]) == 1 for group in groups)


def test_a_sum_in_the_json_of_a_query_is_a_number(ask):
    assert strict(ask("query", "SELECT sum(n) AS n FROM runs", "--json")) == [{"n": 48}]


# --- what is printed -----------------------------------------------------------------------------------------------


def test_a_plan_shows_each_run_and_says_that_nothing_was_written(ask, file):
    lines = ask("plan", file).splitlines()
    assert lines[0].split() == ["run", "n", "W", "optimizer", "seed", "p", "batch", "steps", "state"]
    assert lines[1].split()[1:] == ["4", "4", "adam", "0", "4480", "min(512,", "n)", "60", "succeeded"]
    assert lines[-1].endswith("Nothing was written.")


def test_a_sweep_of_single_points_shows_the_settings_that_they_give(tmp_path, store):
    text = SWEEP.partition("grid:")[0] + "  lr: 1e-3\npoints:\n  - {n: 4, W: 4}\n  - {n: 8, W: 8, seed: 1}\n"
    text = text.replace("  samples: 24", "  seed: 0\n  samples: 24")
    plan = prepared(write_sweep(tmp_path, text), store)
    shown = run_command("plan", tmp_path / "tiny.yaml", store=store.root).out.splitlines()
    assert shown[0].split() == ["run", "n", "W", "seed", "p", "batch", "steps", "state"]
    assert [line.split()[1:4] for line in shown[1:3]] == [["4", "4", "0"], ["8", "8", "1"]]
    assert (
        run_command("status", "tiny", store=store.root).out.splitlines()[0].split()[:4]
        == shown[0].split()[:4]
    )
    # A record of before points were axes: what differs between the runs is shown.
    write_record(store.sweep("tiny"), read_record(store.sweep("tiny")) | {"axes": []})
    columns = run_command("status", "tiny", store=store.root).out.splitlines()[0].split()
    assert {"n", "W", "seed"} <= set(columns)
    assert len(plan.runs) == 2


def test_filters_narrow_what_is_shown(ask):
    shown = ask("status", "tiny", "optimizer=sgd", "n=8").splitlines()
    assert [line.split()[3] for line in shown if line[:1].isalnum() and "sgd" in line] == ["sgd", "sgd"]


def test_a_filter_without_a_sweep_narrows_all_sweeps(ask):
    assert json.loads(ask("status", "optimizer=sgd", "n=8", "--json"))[0]["counts"]["runs"] == 2


def test_errors_are_printed_as_they_are_not_as_markup(ask):
    assert f"ValueError: {MARKUP}" in ask("logs", "tiny", "--failed")
    assert MARKUP in ask("query", "SELECT error FROM runs WHERE failure = 'error'")


def test_a_store_whose_path_looks_like_markup_is_printed_as_it_is(file, tmp_path):
    layout = StoreLayout(tmp_path / "[red]store[/x]")
    run = layout.run(prepared(file, layout).runs[0].run_id)
    fail(run)
    assert str(run.log(1)) in run_command("logs", "tiny", "--failed", store=layout.root).out
    refused(run_command("status", "nope", store=layout.root), "[red]store[/x]")


def test_the_log_of_a_run_is_found_by_the_beginning_of_its_id(ask, study):
    run_id = study.run_ids()[0]
    others = [other for other in study.run_ids()[1:] if other[:6] == run_id[:6]]
    assert not others
    assert f"run {run_id}, attempt 1" in ask("logs", run_id[:6])
    assert json.loads(ask("logs", run_id[:6], "--json"))["run_id"] == run_id


def test_a_beginning_that_several_runs_share_is_refused(study):
    refused(run_command("logs", "", store=study.root), "8 run ids begin with this", "more digits")


def test_cancelling_marks_what_is_not_done_and_resuming_counts_it_as_cancelled(ask, study):
    assert "4 of 8 runs cancelled" in ask("cancel", "tiny")
    assert "4 cancelled" in ask("status", "tiny")
    assert "0 of 8 runs cancelled" in ask("cancel", "tiny")


# Python writes without a buffer may end early and say nothing; users have one.
_BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "SELECT range AS a FROM range(300000)", "--format", "csv"],
        ["query", "SELECT range AS a FROM range(50000)", "--format", "json"],
        ["query", "SELECT repeat('x', 200) AS a FROM range(3000)"],
        ["plan", "{file}", "--json", f"seed={','.join(map(str, range(300)))}"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_reader_of_the_output_that_goes_away_is_no_error(arguments, file, study):
    words = [argument.format(file=file) for argument in arguments]
    process = subprocess.Popen(
        python("-m", "tausweep", *words, "--store", str(study.root)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_BUFFERED,
    )
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["status", "tiny", "--json"], ["query", "SELECT 1"]]
)
def test_a_reader_that_is_gone_before_the_first_line_is_no_error(arguments, study):
    reading, writing = os.pipe()
    os.close(reading)
    store = [] if arguments == ["--help"] else ["--store", str(study.root)]
    done = subprocess.run(
        python("-m", "tausweep", *arguments, *store),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=_BUFFERED,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


_LOADED = """
import sys
from tausweep.orchestrator.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted({"torch", "diffusers", "matplotlib", "sklearn"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", "{file}"],
        ["status"],
        ["status", "tiny"],
        ["logs", "tiny"],
        ["query", "SELECT * FROM runs"],
    ],
    ids=" ".join,
)
def test_planning_and_reading_load_neither_torch_nor_matplotlib(arguments, file, study):
    words = [argument.format(file=file) for argument in arguments]
    store = [] if words == ["--help"] else ["--store", str(study.root)]
    done = start("-c", _LOADED, *words, *store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
