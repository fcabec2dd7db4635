"""Failures grouped: runs with one mistake are one group, whatever numbers and paths their tracebacks hold."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from tausweep.orchestrator.stores.failures import group_failures
from tausweep.orchestrator.terminal.failure_output import print_groups
from tausweep.storage.attempts.records import Failure
from tausweep.storage.files.records import write_record
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

TRACE = """Traceback (most recent call last):
  File "training.py", line 17, in train
tausweep.storage.errors.NotFiniteError: loss is nan at tau = {tau}, last losses 0.{tau}, {tau}e+03, 0xab{tau}
"""


@pytest.fixture
def runs(store, make_run):
    return [make_run(store, seed=seed) for seed in range(6)]


def groups(store):
    return group_failures(store, store.run_ids())


def test_runs_that_differ_only_in_numbers_are_one_group(store, runs):
    for tau, run in enumerate(runs):
        fail(run, failure="not_finite", error=f"nan at {tau}", traceback=TRACE.format(tau=tau * 37))
    (group,) = groups(store)
    assert sorted(group.run_ids) == store.run_ids()
    assert group.failure == "not_finite"


def test_a_group_shows_error_and_traceback_of_its_first_run(store, runs):
    for tau, run in enumerate(runs):
        fail(run, error=f"nan at {tau}", traceback=TRACE.format(tau=tau))
    (group,) = groups(store)
    first = store.run(group.run_ids[0])
    tau = runs.index(first)
    assert (group.error, group.traceback) == (f"nan at {tau}", TRACE.format(tau=tau))


def test_paths_of_run_directories_do_not_divide_a_group(store, runs):
    for run in runs:
        fail(
            run,
            traceback=f"PermissionError: [Errno 13] Permission denied: '{run.checkpoints}/.30.pt.1a2b3c4d.tmp'",
        )
    assert len(groups(store)) == 1


def test_runs_that_failed_at_different_lines_of_code_differ_by_their_words(store, runs):
    fail(runs[0], traceback="in train\nValueError: bad shape")
    fail(runs[1], traceback="in sample\nValueError: bad shape")
    assert len(groups(store)) == 2


def test_the_same_traceback_under_another_class_is_another_group(store, runs):
    fail(runs[0], failure="error", traceback="x")
    fail(runs[1], failure="out_of_memory", traceback="x")
    assert {group.failure for group in groups(store)} == {"error", "out_of_memory"}


def test_the_largest_group_comes_first(store, runs):
    for run in runs[:2]:
        fail(run, traceback="rare")
    for run in runs[2:]:
        fail(run, traceback="common")
    assert [group.traceback for group in groups(store)] == ["common", "rare"]


def test_workers_that_vanished_are_a_group_without_a_traceback(store, runs):
    for run in runs[:3]:
        lose(run)
    (group,) = groups(store)
    assert (group.failure, group.traceback, len(group.run_ids)) == ("lost_worker", "", 3)
    assert "vanished" in group.error


def test_each_class_of_failure_comes_with_what_can_be_done(store, runs):
    classes = get_args(Failure)
    for run, failure in zip(runs, classes, strict=False):
        lose(run) if failure == "lost_worker" else fail(run, failure=failure)
    found = groups(store)
    assert {group.failure for group in found} == set(classes)
    assert len({group.hint for group in found}) == len(classes)


def test_a_large_group_shows_some_of_its_runs_and_how_many_more_there_are(store, make_run, capsys):
    for seed in range(13):
        fail(make_run(store, seed=seed), error="nan at 7", failure="not_finite")
    print_groups(groups(store))
    shown = capsys.readouterr().out
    assert shown.startswith("13 × not_finite: nan at 7\n→ the training diverged: lower lr")
    assert sum(run_id in shown for run_id in store.run_ids()) == 10
    assert "… and 3 more" in shown


def test_runs_that_will_be_tried_again_have_not_failed(store, runs):
    lose(runs[0], max_attempts=2)
    assert groups(store) == []


def test_the_log_of_each_run_is_that_of_its_last_attempt(store, runs):
    end(runs[0], begin(runs[0]), state="preempted", tau=1)
    fail(runs[0])
    (group,) = groups(store)
    assert group.logs == [runs[0].log(2)]
    assert group.logs[0].exists()


def test_only_failed_runs_are_looked_at(store, runs):
    finish(runs[0])
    begin(runs[1])
    end(runs[2], begin(runs[2]), state="preempted", tau=1)
    end(runs[3], begin(runs[3]), state="cancelled", tau=1)
    assert groups(store) == []


# --- what jobs print -----------------------------------------------------------------------------------------------


def give(store, run, output):
    """A job that a scheduler has, which printed something before any worker did."""
    output.write_text("module load cuda: no such module\n")
    store.job_runs("tiny-1-0").parent.mkdir(parents=True, exist_ok=True)
    store.job_runs("tiny-1-0").write_text(f"{run.path}\n")
    write_record(
        store.job("tiny-1-0"),
        {
            "sweep": "tiny",
            "submitted": 1.0,
            "executor": "slurm",
            "job_id": "tiny-1-0",
            "details": {"output": str(output)},
        },
    )


def test_a_run_that_no_worker_has_begun_names_what_its_job_printed(tmp_path, store):
    first, second = (store.run(run.run_id) for run in prepared(write_sweep(tmp_path), store).runs[:2])
    give(store, first, tmp_path / "7_0.out")
    refused(run_command("logs", first.run_id, store=store.root), "has not started", str(tmp_path / "7_0.out"))
    done = run_command("logs", second.run_id, store=store.root)
    refused(done, "has not started")
    assert "7_0.out" not in done.err


def test_a_log_names_what_its_job_printed_beside_it(tmp_path, store):
    run = store.run(prepared(write_sweep(tmp_path), store).runs[0].run_id)
    give(store, run, tmp_path / "7_0.out")
    begin(run, job_id="tiny-1-0")
    store.job_log("tiny-1-0").write_text("")  # nothing: not worth a look
    told = run_command("logs", run.run_id, store=store.root).out
    assert f"its job printed: {tmp_path / '7_0.out'}" in told
    assert str(store.job_log("tiny-1-0")) not in told
    document = json.loads(run_command("logs", run.run_id, "--json", store=store.root).out)
    assert document["job_logs"] == [str(tmp_path / "7_0.out")]
