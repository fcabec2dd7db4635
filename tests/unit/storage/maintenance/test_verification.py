"""`store check`: nothing is found in a clean store, each kind of problem is found, and a repair loses no data."""

from __future__ import annotations

import hashlib
import os
import shutil
import time

import pyarrow.parquet as pq
import pytest

from tausweep.jobs.spec.run_spec import stored_spec
from tausweep.storage.attempts.claims import beat
from tausweep.storage.attempts.records import Claim
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import TABLES, PartName, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.maintenance.verification import TEMPORARY_SECONDS, check, repair
from tausweep.storage.tables.part_writer import PartWriter
from tests.unit.storage.tables.test_scan import ELSEWHERE, attempt, measure, publish_each_table


@pytest.fixture(scope="module")
def template(tmp_path_factory, make_run):
    """A compacted run, a finished and a preempted run with parts and a checkpoint, a pending run; one sweep."""
    store = StoreLayout(tmp_path_factory.mktemp("template") / "store")
    runs = [make_run(store, seed=seed) for seed in range(4)]
    for run, state in zip(runs, ("succeeded", "succeeded", "preempted"), strict=False):
        attempt(run, state=state, resumed_from_tau=0)
        writer = PartWriter(run, attempt=1)
        publish_each_table(run, writer)
        measure(run, {(20, "f_mem", None): 0.5}, writer=writer)
        measure(run, {(30, "f_mem", None): 0.75}, writer=writer)
        publish(run.checkpoint(30), lambda file: file.write(b"weights"))
        digest = hashlib.sha256(b"weights").hexdigest().encode()
        publish(run.checkpoint_digest(30), lambda file, digest=digest: file.write(digest))
        publish(run.log(1), lambda file: file.write(b"words"))
    compact(store, [runs[0].run_id])
    record = {"run_ids": [run.run_id for run in runs], "axes": ["seed"], "resources": {}, "updated": 0.0}
    write_record(store.sweep("tiny"), record)
    publish(store.job_runs("job-1"), lambda file: file.write(b""))
    publish(store.figures("tiny"), lambda file: file.write(b"a figure without a folder"))
    store.figures("tiny").unlink()
    return store


@pytest.fixture
def study(template, store):
    shutil.copytree(template.root, store.root)
    return store


def find(store):
    return list(check(store, stored_spec))


def runs(store):
    """The compacted, the finished and the preempted run, in that order, and the pending one."""
    by_seed = {}
    for run_id in store.run_ids():
        text = store.run(run_id).spec.read_text()
        by_seed[int(text.rpartition('"seed": ')[2].split()[0].strip(",}"))] = store.run(run_id)
    return [by_seed[seed] for seed in sorted(by_seed)]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    if path.suffix == ".parquet":
        column = pq.read_metadata(path).row_group(0).column(2)
        at = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1
    else:
        at = len(content) // 2
    content[at] ^= 0x01
    path.write_bytes(content)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-7])


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_clean_store_has_no_findings(study):
    assert find(study) == []


def test_a_clean_store_has_none_after_everything_was_compacted(study):
    compact(study)
    assert find(study) == []


def test_a_check_writes_nothing(study, snapshot):
    flip_a_bit(runs(study)[1].checkpoint(30))
    before = snapshot(study.root)
    assert find(study)
    assert snapshot(study.root) == before


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off])
@pytest.mark.parametrize("what", ["part", "merged file", "checkpoint", "spec"])
def test_a_damaged_file_is_found_and_moved_to_quarantine_as_it_is(study, what, damage):
    path = {
        "part": runs(study)[1].part("neighbours", PartName(attempt=1, seq=0)),
        "merged file": study.merged_files("neighbours")[0],
        "checkpoint": runs(study)[1].checkpoint(30),
        "spec": runs(study)[3].spec,
    }[what]
    damage(path)
    content = path.read_bytes()
    (finding,) = find(study)
    assert (finding.kind, finding.path, finding.remedy) == ("damaged", path, "quarantine")
    words = repair(study, finding)
    assert not path.exists()
    (moved,) = (study.root / "quarantine").rglob(path.name)
    assert moved.read_bytes() == content
    assert str(moved.relative_to(study.root)).endswith(str(path.relative_to(study.root)))
    assert str(moved) in words


def test_a_checkpoint_goes_to_quarantine_with_its_digest(study):
    flip_a_bit(runs(study)[1].checkpoint(30))
    (finding,) = find(study)
    repair(study, finding)
    assert sorted(path.name for path in (study.root / "quarantine").rglob("30.*")) == [
        "30.pt",
        "30.pt.sha256",
    ]
    assert find(study) == []


def test_a_checkpoint_without_a_digest_is_found(study):
    runs(study)[1].checkpoint_digest(30).unlink()
    (finding,) = find(study)
    assert (finding.kind, finding.path.name) == ("damaged", "30.pt")


def test_a_spec_of_another_run_is_found(study):
    one, other = runs(study)[1:3]
    shutil.copy(other.spec, one.spec)
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("damaged", one.spec)
    assert "hash to" in finding.message


def test_a_part_of_another_schema_is_found(study):
    part = runs(study)[1].parts("metrics")[0]
    shutil.copy(runs(study)[1].parts("neighbours")[0], part)
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("damaged", part)


def test_a_gap_among_the_parts_is_found_and_a_repair_can_do_nothing(study):
    part = runs(study)[1].part("metrics", PartName(attempt=1, seq=1))
    part.unlink()
    (finding,) = find(study)
    assert (finding.kind, finding.path, finding.remedy) == ("missing", part, None)
    assert repair(study, finding) == "nothing could be done"


def test_a_part_that_was_moved_to_quarantine_is_missed_from_then_on(study):
    part = runs(study)[1].part("metrics", PartName(attempt=1, seq=1))
    cut_off(part)
    (finding,) = find(study)
    repair(study, finding)
    assert [(f.kind, f.path) for f in find(study)] == [("missing", part)]


def test_the_measurements_of_a_lost_merged_file_are_missed(study):
    study.merged_files("metrics")[0].unlink()
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("missing", runs(study)[0].table("metrics"))


def test_a_gap_among_the_attempts_is_found(study):
    attempt(runs(study)[1], 3, resumed_from_tau=30)
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("missing", runs(study)[1].attempt(2))


def test_a_damaged_attempt_is_found_and_stays_for_its_number_must_not_be_given_again(study):
    path = runs(study)[1].attempt(1)
    cut_off(path)
    (finding,) = find(study)
    assert (finding.kind, finding.path, finding.remedy) == ("damaged", path, None)


def test_a_sweep_that_names_an_absent_run_is_found(study):
    gone = runs(study)[3]
    shutil.rmtree(gone.path)
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("missing", gone.path)
    assert "sweep tiny" in finding.message


@pytest.mark.parametrize(
    "name", ["notes.txt", "runs/oops", "runs/{run}/metrics/1-000000.parquet.bak", "compacted/x.csv"]
)
def test_a_file_that_no_store_has_is_found_and_moved(study, name):
    path = study.root / name.format(run=study.run_ids()[0])
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("orphan", path)
    repair(study, finding)
    assert find(study) == []


def test_a_run_directory_without_a_spec_is_found_and_moved_whole(study):
    run = runs(study)[1]
    run.spec.unlink()
    (finding,) = [finding for finding in find(study) if finding.kind == "orphan"]
    assert finding.path == run.path
    repair(study, finding)
    assert run.run_id not in study.run_ids()
    assert len(list((study.root / "quarantine").rglob("1-000000.parquet"))) == 3


def test_a_run_directory_that_is_just_being_made_is_no_finding(study):
    folder = study.run("0" * 20).path
    folder.mkdir()
    (folder / ".spec.json.1a2b3c4d.tmp").write_text("{")
    assert find(study) == []


def test_a_stale_claim_is_found_and_removed(study):
    run = runs(study)[1]
    write_record(run.claim, Claim(attempt=1, process=ELSEWHERE).model_dump(mode="json"))
    (finding,) = find(study)
    assert (finding.kind, finding.path) == ("stale claim", run.claim)
    assert repair(study, finding) == "removed"
    assert find(study) == []


def test_the_claim_of_a_run_that_is_being_executed_is_no_finding(study):
    run = runs(study)[2]
    attempt(run, 2, state="running", ended=None)
    beat(run, Claim(attempt=2, process=ELSEWHERE))
    assert find(study) == []


@pytest.mark.parametrize(
    ("seconds", "found"), [(0, 0), (TEMPORARY_SECONDS - 60, 0), (TEMPORARY_SECONDS + 60, 1)]
)
def test_only_an_old_temporary_file_is_found_and_removed(study, seconds, found):
    path = runs(study)[1].table("metrics") / ".1-000003.parquet.1a2b3c4d.tmp"
    path.write_bytes(b"torn")
    age(path, seconds)
    findings = find(study)
    assert [(f.kind, f.path) for f in findings] == [("temporary", path)] * found
    for finding in findings:
        assert repair(study, finding) == "removed"
    assert find(study) == ([] if found else findings)


def test_two_files_of_one_name_have_both_room_in_quarantine(study):
    path = study.root / "notes.txt"
    for text in ("one", "two"):
        path.write_text(text)
        (finding,) = find(study)
        repair(study, finding)
    assert sorted(p.read_text() for p in (study.root / "quarantine").rglob("notes.txt*")) == ["one", "two"]


def test_what_is_in_quarantine_is_not_looked_at_again(study):
    folder = study.root / "quarantine" / "2026-01-01"
    folder.mkdir(parents=True)
    (folder / "anything").write_text("x")
    assert find(study) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_check_while_a_compaction_takes_parts_away_has_no_findings(study, table, monkeypatch):
    from tausweep.storage.maintenance import verification

    monkeypatch.setattr(verification, "_check_sweeps", lambda _: iter(()))
    findings = check(study, stored_spec)
    read, calls = verification.read_through, []

    def slow(path, of):
        if PartName.parse(path.name) and not calls:
            calls.append(path)
            compact(study)
        read(path, of)

    monkeypatch.setattr(verification, "read_through", slow)
    assert list(findings) == []
    assert calls
