"""Export and import: what comes in answers as it did where it came from; what differs is refused by name."""

from __future__ import annotations

import os
import shutil

import pytest

from tausweep.jobs.spec.run_spec import stored_spec
from tausweep.storage.attempts.claims import beat
from tausweep.storage.attempts.records import Claim
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import IdentityError, InputError, StoreError
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import TABLES, PartName, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.maintenance.transfer import export_runs, import_runs
from tausweep.storage.maintenance.verification import check
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.sql import query
from tests.unit.storage.tables.test_scan import attempt, measure, measured, publish_each_table


@pytest.fixture(scope="module")
def template(tmp_path_factory, make_run):
    """A compacted run, a finished run with two attempts, a preempted and a pending one; in one sweep."""
    store = StoreLayout(tmp_path_factory.mktemp("template") / "store")
    runs = [make_run(store, seed=seed) for seed in range(4)]
    for run, state in zip(runs, ("succeeded", "failed", "preempted"), strict=False):
        attempt(run, state=state, resumed_from_tau=0)
        publish_each_table(run)
        publish(run.checkpoint(10), lambda file: file.write(b"weights"))
        publish(run.checkpoint_digest(10), lambda file: file.write(b"digest"))
    attempt(runs[1], 2, resumed_from_tau=10)
    measure(runs[1], {(30, "f_mem", None): 0.5}, number=2)
    compact(store, [runs[0].run_id])
    record = {"run_ids": [run.run_id for run in runs], "axes": ["seed"], "resources": {}, "updated": 0.0}
    write_record(store.sweep("tiny"), record)
    return store


@pytest.fixture
def study(template, store):
    shutil.copytree(template.root, store.root)
    return store


@pytest.fixture
def other(tmp_path):
    return StoreLayout(tmp_path / "other")


@pytest.fixture
def exported(study, tmp_path):
    folder = StoreLayout(tmp_path / "exported")
    export_runs(study, folder, "tiny", study.run_ids())
    return folder


def bring(source, target):
    return import_runs(source, target, stored_spec)


def states(store):
    return {run_id: run_status(store.run(run_id)).state for run_id in store.run_ids()}


def run_with_state(store, state):
    return next(store.run(run_id) for run_id, found in states(store).items() if found == state)


def two_attempts(store):
    return next(store.run(run_id) for run_id in store.run_ids() if store.run(run_id).attempt(2).exists())


def same_answers(one, two):
    return states(one) == states(two) and all(read_table(one, t) == read_table(two, t) for t in TABLES)


def test_an_exported_folder_is_a_store_that_gives_the_same_answers(study, exported):
    assert same_answers(study, exported)
    assert exported.sweep_names() == ["tiny"]
    assert query(exported, "SELECT count(*) AS n FROM attempts")["n"].to_pylist() == [4]


def test_its_tables_are_one_file_each(exported):
    assert [len(exported.merged_files(table)) for table in TABLES] == [1, 1, 1]
    assert not [part for run_id in exported.run_ids() for part in exported.run(run_id).parts("metrics")]


def test_a_check_of_an_exported_folder_finds_nothing(exported):
    assert list(check(exported, stored_spec)) == []


def test_checkpoints_are_left_behind_unless_asked_for(study, exported, other):
    run_id = run_with_state(study, "preempted").run_id
    assert exported.run(run_id).checkpoint_taus() == []
    export_runs(study, other, "tiny", study.run_ids(), checkpoints=True)
    assert other.run(run_id).checkpoint(10).read_bytes() == b"weights"
    assert other.run(run_id).checkpoint_digest(10).read_bytes() == b"digest"


def test_an_export_does_not_go_over_what_is_there(study, exported, snapshot):
    before = snapshot(exported.root)
    with pytest.raises(InputError, match="exists already"):
        export_runs(study, exported, "tiny", study.run_ids())
    assert snapshot(exported.root) == before


def test_an_import_into_an_empty_store_gives_the_same_answers(study, exported, other):
    done = bring(exported, other)
    assert same_answers(study, other)
    assert (len(done.new), done.known, done.attempts) == (4, [], 4)
    assert done.rows == {"metrics": 4, "neighbours": 3, "samples": 3}
    assert read_record(other.sweep("tiny")) == read_record(study.sweep("tiny"))
    assert list(check(other, stored_spec)) == []


def test_any_store_can_be_imported(study, other):
    bring(study, other)
    assert same_answers(study, other)


def test_importing_again_changes_nothing(exported, other, snapshot):
    bring(exported, other)
    before = snapshot(other.root)
    done = bring(exported, other)
    assert (done.new, len(done.known), done.attempts, sum(done.rows.values())) == ([], 4, 0, 0)
    assert snapshot(other.root) == before


def test_importing_where_it_came_from_changes_nothing(study, exported, snapshot):
    before = snapshot(study.root)
    bring(exported, study)
    assert snapshot(study.root) == before


def test_an_interrupted_import_is_finished_by_the_next(study, exported, other, monkeypatch):
    from tausweep.storage.maintenance import transfer

    copy, calls = transfer._copy_records, []

    def cut_off(theirs, ours):
        calls.append(ours)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return copy(theirs, ours)

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_copy_records", cut_off)
        with pytest.raises(KeyboardInterrupt):
            bring(exported, other)
    bring(exported, other)
    assert same_answers(study, other)
    assert [len(other.merged_files(table)) for table in TABLES] == [1, 1, 1]


def test_a_run_that_went_on_elsewhere_comes_home(study, exported):
    """Exported while preempted, continued in the copy, imported back."""
    run = run_with_state(exported, "preempted")
    attempt(run, 2, resumed_from_tau=10)
    measure(run, {(30, "f_mem", None): 0.75}, number=2)
    done = bring(exported, study)
    assert (done.attempts, done.rows["metrics"]) == (1, 1)
    home = study.run(run.run_id)
    assert run_status(home).state == "succeeded"
    assert measured(study, home) == {(10, "f_mem", None): (1, 0.25), (30, "f_mem", None): (2, 0.75)}
    compact(study)
    assert measured(study, home) == measured(exported, run)


def test_rows_that_were_trained_again_here_are_not_brought_back(study, exported):
    """Exported, then resumed here from before the last row: the copy's row belongs to a future that is no more."""
    run = two_attempts(study)
    attempt(run, 3, resumed_from_tau=20)
    measure(run, {(30, "f_mem", None): 0.9}, number=3)
    expected = measured(study, run)
    done = bring(exported, study)
    assert (done.rows["metrics"], measured(study, run)) == (0, expected)


def other_value(run):
    folder = run.store.root
    shutil.rmtree(folder / "compacted")
    part = PartWriter(run, attempt=1)
    part.publish(
        "metrics",
        {
            "tau": [10],
            "images_seen": [160],
            "t": [None],
            "metric": ["f_mem"],
            "value": [0.5],
            "wall_time": [0.0],
        },
    )


def other_execution(run):
    attempt(run, 1, started=7.0)


def other_p(run):
    record = read_record(run.spec)
    write_record(run.spec, {**record, "p": 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_value, "table metrics has different values"),
        (other_execution, "attempt 1 is a different execution"),
        (other_p, "another spec"),
    ],
)
def test_a_run_that_differs_is_named_and_nothing_is_imported(
    study, exported, make_run, snapshot, change, words
):
    run = run_with_state(exported, "preempted")
    change(run)
    make_run(exported, seed=99)
    before = snapshot(study.root)
    with pytest.raises(StoreError, match=rf"1 of 5 runs conflict .* run {run.run_id}: {words}"):
        bring(exported, study)
    assert snapshot(study.root) == before


def test_a_spec_that_is_not_the_runs_is_refused(exported, other):
    run = run_with_state(exported, "pending")
    record = read_record(run.spec)
    write_record(run.spec, {**record, "settings": {**record["settings"], "n": 17}})
    with pytest.raises(IdentityError, match=run.run_id):
        bring(exported, other)
    assert not other.root.exists()


def test_a_run_that_is_being_executed_here_is_not_touched(study, exported):
    run = run_with_state(study, "preempted")
    attempt(run, 2, state="running", ended=None)
    record = Claim(attempt=2, process={"host": "another-host", "pid": 7, "started": 0.0, "namespace": ""})
    beat(run, record)
    with pytest.raises(StoreError, match=f"run {run.run_id}: is being executed"):
        bring(exported, study)


def test_the_date_of_a_heartbeat_does_not_make_a_run_a_lost_one(study, exported):
    run = run_with_state(study, "preempted")
    attempt(run, 2, state="running", ended=None)
    record = Claim(attempt=2, process={"host": "another-host", "pid": 7, "started": 0.0, "namespace": ""})
    beat(run, record)
    os.utime(run.claim, (0, 0))  # the clock of another host
    with pytest.raises(StoreError, match=f"run {run.run_id}: is being executed"):
        bring(exported, study)


def test_a_sweep_that_has_grown_replaces_the_smaller_one_and_not_the_other_way_round(
    study, exported, make_run
):
    grown = read_record(exported.sweep("tiny"))
    grown["run_ids"] = [*grown["run_ids"], make_run(exported, seed=99).run_id]
    write_record(exported.sweep("tiny"), grown)
    bring(exported, study)
    assert read_record(study.sweep("tiny")) == grown
    write_record(exported.sweep("tiny"), {**grown, "run_ids": grown["run_ids"][:2]})
    bring(exported, study)
    assert read_record(study.sweep("tiny")) == grown


def test_another_sweep_of_the_same_name_is_refused(study, exported, make_run, snapshot):
    record = read_record(exported.sweep("tiny"))
    write_record(exported.sweep("tiny"), {**record, "run_ids": [make_run(exported, seed=99).run_id]})
    before = snapshot(study.root)
    with pytest.raises(InputError, match="different sweeps with this name"):
        bring(exported, study)
    assert snapshot(study.root) == before


def test_parts_of_an_imported_run_that_goes_on_count_with_its_imported_rows(exported, other):
    bring(exported, other)
    run = run_with_state(other, "preempted")
    attempt(run, 2, resumed_from_tau=10)
    measure(run, {(30, "f_mem", None): 0.5}, number=2)
    assert set(measured(other, run)) == {(10, "f_mem", None), (30, "f_mem", None)}
    assert run.part("metrics", PartName(attempt=2, seq=0)).exists()
