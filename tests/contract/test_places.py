"""What a store guarantees wherever it lies: run on a disk and on an object store, against a real S3-speaking server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from tausweep.jobs.spec.run_spec import stored_spec
from tausweep.storage.attempts.claims import beat, begin_attempt, end_attempt
from tausweep.storage.attempts.records import (
    AttemptRecord,
    Claim,
    Process,
    last_attempt,
    read_claim,
    write_attempt,
)
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import ClaimLostError, CorruptFileError, InputError, SchemaError, StoreError
from tausweep.storage.files.atomic import publish, publish_new, publish_path
from tausweep.storage.files.local_copies import growing_log, local_copy
from tausweep.storage.files.object_store import location, put_new
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import TABLES, RunDirectory, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.maintenance.transfer import export_runs, import_runs
from tausweep.storage.maintenance.verification import check, repair
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.sql import query
from tausweep.workers.checkpointing import load_checkpoint, save_checkpoint

MakeRun = Callable[..., RunDirectory]
GONE = Process(host="another-host", pid=7, started=0.0, namespace="")


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest) -> StoreLayout:
    """An empty store."""
    store: StoreLayout = request.getfixturevalue("store" if request.param == "disk" else "s3_store")
    return store


def measure(writer: PartWriter, tau: int, value: float) -> None:
    writer.publish(
        "metrics",
        {
            "tau": [tau] * 2,
            "images_seen": [16 * tau] * 2,
            "t": [None, 50.0],
            "metric": ["f_mem", "test_loss"],
            "value": [value, 1.0],
            "wall_time": [0.0] * 2,
        },
    )


def begun(run: RunDirectory) -> AttemptRecord:
    record = begin_attempt(run, job_id=None, provenance={})
    assert record is not None
    return record


def finish(run: RunDirectory, *values: float) -> None:
    """An attempt that measures f_mem at tau = 10, 20, … and succeeds."""
    record = begun(run)
    writer = PartWriter(run, attempt=record.attempt)
    for index, value in enumerate(values, start=1):
        measure(writer, 10 * index, value)
    end_attempt(run, record.model_copy(update={"state": "succeeded", "ended": record.started + 1.0}))


def f_mem(store: StoreLayout) -> list[float]:
    rows: list[float] = read_table(store, "metrics", metrics=["f_mem"])["value"].to_pylist()
    return rows


def test_a_published_file_is_replaced_whole(place: StoreLayout) -> None:
    target = place.sweep("größer als ein wort")
    for content in (b"first", b"second, and longer"):
        publish(target, lambda file, content=content: file.write(content))
        assert target.read_bytes() == content
    assert place.sweep_names() == ["größer als ein wort"]


def test_a_file_that_needs_a_path_arrives_whole(place: StoreLayout) -> None:
    publish_path(place.images("ab"), lambda path: path.write_bytes(b"pixels"))
    assert place.images("ab").read_bytes() == b"pixels"


def test_a_writer_that_fails_leaves_nothing(place: StoreLayout) -> None:
    def fail(file: Any) -> None:
        file.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        publish(place.sweep("half"), fail)
    assert list(place.walk()) == []


def test_of_many_racing_makers_one_succeeds(place: StoreLayout) -> None:
    contents = [f"maker {i}".encode() for i in range(16)]
    together = threading.Barrier(len(contents))

    def make(content: bytes) -> bool:
        together.wait()
        return publish_new(place.sweep("one"), lambda file: file.write(content))

    with ThreadPoolExecutor(len(contents)) as pool:
        made = list(pool.map(make, contents))
    assert made.count(True) == 1
    assert place.sweep("one").read_bytes() == contents[made.index(True)]


def test_a_conditional_put_whose_answer_was_lost_is_ours(s3_store: StoreLayout) -> None:
    assert put_new(s3_store.sweep("one"), b"mine")
    assert put_new(s3_store.sweep("one"), b"mine")
    assert not put_new(s3_store.sweep("one"), b"another's")


def test_what_is_absent_is_absent(place: StoreLayout) -> None:
    run = place.run("0" * 20)
    assert place.run_ids() == place.sweep_names() == place.job_ids() == place.merged_files("metrics") == []
    assert run.attempt_numbers() == run.part_names("metrics") == run.checkpoint_taus() == run.files() == []
    assert last_attempt(run) is None
    assert read_claim(run) is None
    with pytest.raises(FileNotFoundError):
        read_record(run.spec)
    run.claim.unlink(missing_ok=True)


def test_an_attempt_is_begun_once_and_ended(place: StoreLayout, make_run: MakeRun) -> None:
    run = make_run(place)
    assert run_status(run).state == "pending"
    record = begun(run)
    assert run_status(run).state == "running"
    assert begin_attempt(run, job_id=None, provenance={}) is None
    end_attempt(run, record.model_copy(update={"state": "succeeded", "ended": record.started + 1.0}))
    assert run_status(run).state == "succeeded"
    assert not run.claim.exists()


def test_a_writer_that_was_taken_over_publishes_nothing_more(place: StoreLayout, make_run: MakeRun) -> None:
    run = make_run(place)
    old = begun(run)
    writer = PartWriter(run, attempt=old.attempt)
    measure(writer, 10, 0.5)
    write_attempt(run, old.model_copy(update={"state": "preempted", "ended": old.started + 1.0}))
    assert begun(run).attempt == 2
    with pytest.raises(ClaimLostError):
        measure(writer, 20, 0.6)
    with pytest.raises(ClaimLostError):
        beat(run, Claim(attempt=old.attempt, process=old.process))
    assert f_mem(place) == [0.5]


def test_a_cancelled_run_is_seen_as_such(place: StoreLayout, make_run: MakeRun) -> None:
    run = make_run(place)
    publish(run.cancel, lambda file: file.write(b""))
    assert run_status(run).state == "cancelled"
    run.cancel.unlink(missing_ok=True)
    assert run_status(run).state == "pending"


def test_answers_are_the_same_before_and_after_compaction(place: StoreLayout, make_run: MakeRun) -> None:
    for seed in range(3):
        finish(make_run(place, seed=seed), 0.25, 0.5 + seed / 8)
    sql = "SELECT n, metrics.tau, avg(value) AS f FROM metrics JOIN runs USING (run_id) WHERE metric = 'f_mem' GROUP BY ALL"
    before = read_table(place, "metrics"), query(place, f"{sql} ORDER BY ALL")
    assert before[1].to_pylist() == [
        {"n": 16, "tau": 10, "f": 0.25},
        {"n": 16, "tau": 20, "f": 0.625},
    ]
    assert [(done.files, done.parts) for done in compact(place)] == [(1, 6), (0, 0), (0, 0)]
    assert len(place.merged_files("metrics")) == 1
    assert not [part for run_id in place.run_ids() for part in place.run(run_id).parts("metrics")]
    assert (read_table(place, "metrics"), query(place, f"{sql} ORDER BY ALL")) == before
    assert [(done.files, done.parts) for done in compact(place)] == [(0, 0)] * 3


def test_a_run_goes_on_after_compaction(place: StoreLayout, make_run: MakeRun) -> None:
    run = make_run(place)
    finish(run, 0.25, 0.5)
    compact(place)
    write_attempt(
        run,
        AttemptRecord(
            attempt=2, state="succeeded", started=5.0, ended=6.0, process=GONE, resumed_from_tau=10
        ),
    )
    measure(PartWriter(run, attempt=2), 20, 0.75)
    assert f_mem(place) == [0.25, 0.75]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "flipped"])
def test_a_damaged_part_is_named_or_left_out(place: StoreLayout, make_run: MakeRun, damage: str) -> None:
    run = make_run(place)
    finish(run, 0.25, 0.5)
    part = run.parts("metrics")[0]
    content = part.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "foreign": b"not Parquet at all",
        "flipped": content[:60] + bytes([content[60] ^ 0x20]) + content[61:],
    }
    publish(part, lambda file: file.write(damaged[damage]))
    with pytest.raises(CorruptFileError, match=part.name):
        read_table(place, "metrics")
    bad: list[StoreError] = []
    assert read_table(place, "metrics", metrics=["f_mem"], bad=bad)["value"].to_pylist() == [0.5]
    assert [str(error).startswith(str(part)) for error in bad] == [True]
    found = list(check(place, stored_spec))
    assert [(finding.kind, finding.path) for finding in found] == [("damaged", part)]
    assert "quarantine" in repair(place, found[0])
    assert not part.exists()
    moved = [file for file in place.root.rglob("*") if file.name == part.name]
    assert [file.read_bytes() for file in moved] == [damaged[damage]]


def test_a_part_of_another_schema_is_refused_by_name(place: StoreLayout, make_run: MakeRun) -> None:
    import pyarrow.parquet as pq

    run = make_run(place)
    finish(run, 0.25)
    part = run.parts("metrics")[0]
    publish(part, lambda file: pq.write_table(pa.table({"x": [1]}), file))
    with pytest.raises(SchemaError, match=part.name):
        read_table(place, "metrics")


def test_orphans_and_missing_parts_are_found(place: StoreLayout, make_run: MakeRun) -> None:
    run = make_run(place)
    finish(run, 0.25, 0.5, 0.75)
    assert list(check(place, stored_spec)) == []
    run.parts("metrics")[1].unlink()
    publish(run.path / "notes.txt", lambda file: file.write(b"mine"))
    assert {finding.kind for finding in check(place, stored_spec)} == {"missing", "orphan"}


def test_a_sweep_moves_between_places_and_back(
    place: StoreLayout, s3_store: StoreLayout, tmp_path: Path, make_run: MakeRun
) -> None:
    runs = [make_run(place, seed=seed) for seed in range(2)]
    for run in runs:
        finish(run, 0.25, 0.5)
    write_record(
        place.sweep("tiny"),
        {"run_ids": [r.run_id for r in runs], "axes": ["seed"], "resources": {}, "updated": 0.0},
    )
    exported = StoreLayout(tmp_path / "exported")
    export_runs(place, exported, "tiny", [run.run_id for run in runs])
    other = StoreLayout(s3_store.root / "other")
    done = import_runs(exported, other, stored_spec)
    assert (len(done.new), len(done.known)) == (2, 0)
    assert len(import_runs(place, other, stored_spec).known) == 2
    for table in TABLES:
        assert read_table(other, table) == read_table(place, table)


def test_checkpoints_are_kept_in_twos_and_a_damaged_one_is_passed_over(
    place: StoreLayout, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(place)
    for tau in (10, 20, 30):
        save_checkpoint(run, tau, {"tau": tau, "model": {"w": torch.full((3,), float(tau))}})
    assert run.checkpoint_taus() == [20, 30]
    publish(run.checkpoint(30), lambda file: file.write(b"damaged"))
    loaded, damaged = load_checkpoint(run)
    assert damaged == [30]
    assert loaded is not None
    assert loaded["model"]["w"].tolist() == [20.0] * 3
    assert "30" in capsys.readouterr().out


def test_images_are_fetched_once_and_kept(s3_store: StoreLayout) -> None:
    target = s3_store.images(hashlib.sha256(b"pixels").hexdigest()[:20])
    with pytest.raises(FileNotFoundError):
        local_copy(target)
    publish(target, lambda file: file.write(b"pixels"))
    copy = local_copy(target)
    target.unlink()
    assert local_copy(target) == copy
    assert copy.read_bytes() == b"pixels"


def test_on_a_disk_images_stay_where_they_are(store: StoreLayout) -> None:
    assert local_copy(store.images("ab")) == store.images("ab")


def test_a_log_is_in_the_store_when_its_attempt_ends_also_by_an_error(place: StoreLayout) -> None:
    target = place.run("0" * 20).log(1)

    def write() -> None:
        with growing_log(target) as log, log.open("a") as file:
            file.write("words")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        write()
    assert target.read_text() == "words"


@pytest.mark.parametrize("text", ["gs://bucket/x", "s3://", "s3:///", "http://host/x", "://x"])
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="s3://BUCKET/PREFIX"):
        location(text)


@pytest.mark.parametrize("text", ["runs", "/a b/ü", "./s3:/x", "~/runs", "C:/x"])
def test_a_folder_is_a_path(text: str) -> None:
    assert location(text) == Path(text)
