"""Publishing: at every moment, and after every crash, a file is the old one or the new one, whole."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tausweep.storage.errors import CorruptFileError, SchemaError
from tausweep.storage.files.atomic import publish, publish_bytes, publish_folder, publish_new, publish_path
from tausweep.storage.files.records import read_record, write_new_record, write_record
from tausweep.storage.layout import StoreLayout

OLD, NEW = b"old" * 50_000, b"new" * 50_000
PUBLISHERS = {
    "publish": lambda target, content: publish(target, lambda file: file.write(content)),
    "publish_bytes": publish_bytes,
    "publish_path": lambda target, content: publish_path(target, lambda path: path.write_bytes(content)),
    "publish_new": lambda target, content: publish_new(target, lambda file: file.write(content)),
}
publishers = pytest.mark.parametrize("name", PUBLISHERS)


def python(code, *arguments):
    """Start a process of its own on some code; to be used as a context, which closes its pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )


def crash(target, moment):
    """Publish NEW in a process that kills itself at a moment; its exit code."""
    return subprocess.run(
        [sys.executable, "-c", CRASH, str(target), moment], timeout=60, check=False
    ).returncode


@publishers
def test_what_is_published_is_what_was_written(tmp_path, name):
    target = tmp_path / "new folder" / "数据 file.bin"
    PUBLISHERS[name](target, NEW)
    assert target.read_bytes() == NEW
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["publish", "publish_path"])
def test_publishing_replaces_what_was_there(tmp_path, name):
    target = tmp_path / "file"
    target.write_bytes(OLD)
    PUBLISHERS[name](target, NEW)
    assert target.read_bytes() == NEW


def test_publish_new_leaves_what_was_there(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(OLD)
    assert not publish_new(target, lambda file: file.write(NEW))
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


@publishers
def test_a_writer_that_raises_leaves_the_old_file_and_nothing_else(tmp_path, name):
    target = tmp_path / "file"
    target.write_bytes(OLD)
    with pytest.raises(TypeError):
        PUBLISHERS[name](target, "text where bytes are needed")
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


@publishers
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, name):
    target = tmp_path / "file"
    target.write_bytes(OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            PUBLISHERS[name](target, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


@publishers
def test_where_no_folder_can_be_made_it_is_an_error_that_names_the_path(tmp_path, name):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(OSError, match="file"):
        PUBLISHERS[name](tmp_path / "file" / "below", NEW)
    assert (tmp_path / "file").read_bytes() == OLD


@publishers
def test_a_file_is_synced_before_it_is_in_its_place_and_its_folder_after(tmp_path, name, monkeypatch):
    target = tmp_path / "1.json"
    synced = []
    fsync = os.fsync

    def watched(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(("folder" if path == tmp_path else "file", target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    PUBLISHERS[name](target, NEW)
    assert synced == [("file", False), ("folder", True)]


CRASH = """
import os, signal, sys
from pathlib import Path
from tausweep.storage.files.atomic import publish
target, moment = Path(sys.argv[1]), sys.argv[2]
def write(file):
    file.write(b"new" * 25_000); file.flush()
    if moment == "half written": os.kill(os.getpid(), signal.SIGKILL)
    file.write(b"new" * 25_000)
def crash(event, arguments):
    # Python tells of a rename before it does it; the folder is opened, to be synced, after it.
    before, after = event == "os.rename", event == "open" and str(arguments[0]) == str(target.parent)
    if {"before the rename": before, "after the rename": after}.get(moment): os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(crash)
publish(target, write)
"""


@pytest.mark.parametrize("old", [None, OLD], ids=["first", "replacing"])
@pytest.mark.parametrize(
    ("moment", "published"),
    [("half written", False), ("before the rename", False), ("after the rename", True), ("never", True)],
)
def test_a_process_killed_at_any_moment_leaves_the_old_or_the_new_file(tmp_path, moment, published, old):
    target = tmp_path / "1.json"
    if old is not None:
        target.write_bytes(old)
    assert crash(target, moment) == (0 if moment == "never" else -signal.SIGKILL)
    found = target.read_bytes() if target.exists() else None
    assert found == (NEW if published else old)


def test_what_a_killed_process_leaves_is_not_read(tmp_path):
    run = StoreLayout(tmp_path).run("0" * 20)
    run.attempts.mkdir(parents=True)
    crash(run.attempt(1), "half written")
    assert len(list(run.attempts.iterdir())) == 1
    assert run.attempt_numbers() == []


RACE = """
import sys, time
from pathlib import Path
from tausweep.storage.files.atomic import publish_new
target, me = Path(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
wins = [publish_new(target / str(i), lambda file: file.write(me)) for i in range(30)]
print("".join(str(int(won)) for won in wins))
"""


def test_of_eight_racing_processes_exactly_one_makes_each_file(tmp_path):
    with ExitStack() as stack:
        racers = [stack.enter_context(python(RACE, tmp_path, me)) for me in range(8)]
        for racer in racers:
            racer.stdout.readline()
        for racer in racers:
            racer.stdin.write(b"go\n")
            racer.stdin.flush()
        wins = [racer.stdout.readline().decode().strip() for racer in racers]
    for i in range(30):
        winners = [me for me in range(8) if wins[me][i] == "1"]
        assert [int((tmp_path / str(i)).read_bytes())] == winners
    assert len(list(tmp_path.iterdir())) == 30


def test_a_reader_beside_a_writer_never_sees_a_torn_file(tmp_path):
    target = tmp_path / "claim"
    write_record(target, {"i": -1, "filling": ["x"] * 5000})
    writing = (
        "import sys, pathlib; from tausweep.storage.files.records import write_record\n"
        "for i in range(100): write_record(pathlib.Path(sys.argv[1]), {'i': i, 'filling': ['x'] * 5000})"
    )
    seen = []
    with python(writing, target) as writer:
        while writer.poll() is None:
            record = read_record(target)
            assert len(record["filling"]) == 5000
            seen.append(record["i"])
    assert writer.returncode == 0
    assert seen == sorted(seen)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=30)
@given(record=st.dictionaries(st.text().filter(lambda key: key != "schema"), json_values))
def test_a_record_reads_back_as_it_was_written(tmp_path_factory, record):
    path = tmp_path_factory.getbasetemp() / "record.json"
    write_record(path, record)
    assert read_record(path) == record


def test_a_record_carries_the_schema_version(tmp_path):
    write_record(tmp_path / "a.json", {"x": 1})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"schema": 1, "x": 1}


def test_a_new_record_is_made_once(tmp_path):
    path = tmp_path / "a.json"
    assert write_new_record(path, {"by": 1})
    assert not write_new_record(path, {"by": 2})
    assert read_record(path) == {"by": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_know_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(tmp_path / "a.json", {"x": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "x"', b"\xff\xfe", b"PAR1", b"\0" * 100])
def test_a_file_that_is_not_json_is_named(tmp_path, content):
    path = tmp_path / "1.json"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"1\.json: not JSON"):
        read_record(path)


@pytest.mark.parametrize("content", [b"[]", b"1", b"null", b'"text"'])
def test_json_that_is_no_object_is_named(tmp_path, content):
    path = tmp_path / "1.json"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"1\.json: expected a JSON object"):
        read_record(path)


@pytest.mark.parametrize("version", ["2", "0", "null", '"1"'])
def test_a_record_of_another_schema_is_refused_by_name(tmp_path, version):
    path = tmp_path / "1.json"
    path.write_text(f'{{"schema": {version}}}')
    with pytest.raises(SchemaError, match=r"1\.json: schema .*; this version of tausweep reads 1"):
        read_record(path)


def test_a_record_that_lacks_a_required_key_is_refused_by_name(tmp_path):
    path = tmp_path / "1.json"
    write_record(path, {"x": 1})
    assert read_record(path, "x") == {"x": 1}
    with pytest.raises(SchemaError, match=r"1\.json: y, z missing"):
        read_record(path, "x", "y", "z")


def test_a_record_that_is_not_there_is_a_plain_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "1.json")


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    def write(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: .*target\.json"):
        publish(tmp_path / "target.json", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_published_whole_also_over_an_empty_one(tmp_path, there):
    target = tmp_path / "folder"
    if there:
        target.mkdir()
    publish_folder(target, lambda folder: (folder / "a").write_bytes(NEW))
    assert (target / "a").read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_whose_writer_fails_leaves_nothing(tmp_path):
    def write(folder):
        (folder / "a").write_bytes(NEW)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device.*folder"):
        publish_folder(tmp_path / "folder", write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_bytes(OLD)
    with pytest.raises(OSError, match="not empty"):
        publish_folder(target, lambda folder: (folder / "a").write_bytes(NEW))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]
