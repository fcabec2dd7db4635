"""Fail-points: who is killed, where, how often, and what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tausweep.storage.files.atomic import publish
from tausweep.storage.files.failpoints import VARIABLE, failpoint

PUBLISHER = (
    "import sys; from pathlib import Path; from tausweep.storage.files.atomic import publish, publish_new\n"
    "{call}(Path(sys.argv[1]), lambda file: file.write(b'new'))"
)


def process(order: Path, target: Path, call: str = "publish") -> int:
    command = [sys.executable, "-c", PUBLISHER.format(call=call), str(target)]
    return subprocess.run(command, env=os.environ | {VARIABLE: str(order)}, check=False).returncode


@pytest.fixture
def order(tmp_path: Path) -> Path:
    return tmp_path / "order"


@pytest.mark.parametrize("call", ["publish", "publish_new"])
@pytest.mark.parametrize(
    ("point", "there", "left"),
    [
        ("before_write", False, []),
        ("before_fsync", False, [b"new"]),
        ("before_rename", False, [b"new"]),
        ("after_rename", True, []),
    ],
)
def test_a_process_dies_at_the_point_that_was_ordered(
    tmp_path: Path, order: Path, call: str, point: str, there: bool, left: list[bytes]
) -> None:
    folder = tmp_path / "folder"
    order.write_text(f"{point}:*.txt")
    assert process(order, folder / "a.txt", call) == -signal.SIGKILL
    assert (folder / "a.txt").exists() == there
    assert [path.read_bytes() for path in folder.glob(".*.tmp")] == left


def test_an_order_is_for_one_process_once(tmp_path: Path, order: Path) -> None:
    order.write_text("before_write:*")
    assert [process(order, tmp_path / "a") for _ in range(2)] == [-signal.SIGKILL, 0]
    assert len(list(tmp_path.glob("order.*"))) == 1
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("text", ["before_write:*.pt", "before_fsync:b"])
def test_other_names_and_points_go_on(tmp_path: Path, order: Path, text: str) -> None:
    order.write_text(text)
    assert process(order, tmp_path / "a") == 0
    assert order.exists()


def test_without_the_variable_nothing_is_looked_at(tmp_path: Path) -> None:
    assert VARIABLE not in os.environ
    failpoint("before_write", tmp_path)
    publish(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
