"""Commands that look at results need the store alone: no scheduler is asked, whatever jobs the store records."""

from __future__ import annotations

import json
import os

import pytest

from tausweep.storage.files.records import read_record, write_record
from tests.unit.orchestrator.finished_store import finish, prepared, run_command, write_sweep

SLURM = ("squeue", "sacct", "sinfo", "scontrol")


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that is there once any command of SLURM was called; the commands fail."""
    folder, mark = tmp_path / "bin", tmp_path / "mark"
    folder.mkdir()
    for name in SLURM:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{mark}"\nexit 1\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return mark


@pytest.fixture
def finished(store, tmp_path, mark):
    """A store of six finished runs and two that a SLURM job was given."""
    plan = prepared(write_sweep(tmp_path), store)
    *done, waiting, other = (store.run(run.run_id) for run in plan.runs)
    for run in done:
        finish(run)
    store.job_runs("tiny-1-0").parent.mkdir(parents=True, exist_ok=True)
    store.job_runs("tiny-1-0").write_text(f"{waiting.path}\n{other.path}\n")
    details = {
        "slurm_id": "7_0",
        "array": "7",
        "parallel": 1,
        "user": "somebody",
        "submitted": 1.7e9,
        "output": str(tmp_path / "slurm.out"),
        "resources": plan.resources.model_dump(mode="json"),
    }
    record = {"sweep": "tiny", "submitted": 1.7e9, "executor": "slurm", "job_id": "tiny-1-0"}
    write_record(store.job("tiny-1-0"), {**record, "details": details})
    return store.root


@pytest.mark.parametrize(
    "words",
    [
        ["resolve", "tiny", "--json"],
        ["figures", "tiny"],
        ["report", "tiny"],
        ["query", "SELECT state, count(*) AS runs FROM runs GROUP BY state"],
    ],
    ids=lambda words: words[0],
)
def test_a_result_asks_no_scheduler(finished, mark, tmp_path, words):
    out = ["--out", tmp_path / ("report.html" if words[0] == "report" else "figures")]
    done = run_command(*words, *(out if words[0] in ("figures", "report") else []), store=finished)
    assert done.code == 0, done
    assert not mark.exists(), mark.read_text()


def test_status_asks_the_scheduler_of_these_jobs(finished, mark):
    """Else the tests above would show nothing."""
    assert run_command("status", "tiny", store=finished).code == 0
    assert "squeue" in mark.read_text()


def test_a_sweep_is_resolved_by_the_criteria_of_its_file(store, tmp_path):
    """Stated before the runs are trained, kept with the sweep, and given up for those of the command line only."""
    file = write_sweep(tmp_path)
    file.write_text(file.read_text() + "criteria: [loss_gap=0.1@t150, frechet_pca<=0.5, f_mem=0.2]\n")
    plan = prepared(file, store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    stated = run_command("resolve", "tiny", "--json", store=store.root)
    named = run_command("resolve", "tiny", "--criterion", "f_mem=0.3", "--json", store=store.root)
    assert json.loads(stated.out)["criteria"] == ["loss_gap=0.1@t150", "frechet_pca≤0.5", "f_mem=0.2"]
    assert json.loads(named.out)["criteria"] == ["f_mem=0.3"]


@pytest.mark.parametrize("criteria", ["f_mem=0.1", 7, None, [3], {"f_mem": 0.1}], ids=repr)
def test_criteria_of_a_record_that_are_no_names_are_one_message(store, tmp_path, criteria):
    prepared(write_sweep(tmp_path), store)
    record = {key: value for key, value in read_record(store.sweep("tiny")).items() if key != "schema"}
    write_record(store.sweep("tiny"), {**record, "criteria": criteria})
    done = run_command("resolve", "tiny", store=store.root)
    assert (done.code, done.err.count("not a list of names")) == (1, 1), done
