"""Workers of this machine that are forked: where that is refused, and what reaches whoever asked for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tausweep.orchestrator.executors.forked_workers import (
    CannotForkError,
    ForkedWorker,
    ForkServer,
    require_forkable,
)
from tausweep.workers.stop import EXIT_REQUEUE
from tests.waiting import wait_for

ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with (tmp_path_factory.mktemp("server") / "log").open("ab") as log:
        started = ForkServer(ENVIRONMENT, log)
    yield started
    started.close()


def fork(server: ForkServer, log: Path, arguments: Sequence[str]) -> ForkedWorker:
    with log.open("ab") as output:
        return server.fork(arguments, output)


def ended(worker: ForkedWorker) -> int | None:
    wait_for(lambda: worker.poll() is not None, seconds=30, every=0.02)
    return worker.poll()


@pytest.fixture
def waiting(server: ForkServer, tmp_path: Path) -> Iterator[ForkedWorker]:
    """A worker that reads its list of runs from a pipe into which nobody writes."""
    listing = tmp_path / "runs"
    os.mkfifo(listing)
    worker = fork(server, tmp_path / "log", [f"@{listing}"])
    yield worker
    if worker.poll() is None:
        os.kill(worker.process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TAUSWEEP_FORK": "0"}, "TAUSWEEP_FORK=0"),
        ({"LD_PRELOAD": "/usr/lib/libasan.so.8"}, "libasan.so.8, a sanitizer"),
        ({"LD_PRELOAD": "libjemalloc.so.2:/usr/lib/libtsan.so.0"}, "libtsan.so.0, a sanitizer"),
    ],
)
def test_the_user_or_a_sanitizer_can_be_against_it(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(CannotForkError, match=reason):
        require_forkable(environment)


def test_other_preloaded_libraries_are_not_against_it() -> None:
    require_forkable({"LD_PRELOAD": "/home/susan/libjemalloc.so.2"})


def test_a_process_that_has_a_thread_refuses_to_fork(tmp_path: Path) -> None:
    allocator = {"JE_ARROW_MALLOC_CONF": "background_thread:true"}
    with (tmp_path / "log").open("ab") as log, pytest.raises(CannotForkError, match="jemalloc_bg_thd"):
        ForkServer({**ENVIRONMENT, **allocator}, log)


def test_a_process_that_can_not_be_started_leaves_its_reason_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('a broken torch')")
    with (tmp_path / "log").open("ab") as log, pytest.raises(CannotForkError, match="exit code 1"):
        ForkServer({**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}, log)
    assert "a broken torch" in (tmp_path / "log").read_text()


def test_an_exit_code_arrives_and_what_was_printed_is_in_the_log(server: ForkServer, tmp_path: Path) -> None:
    assert ended(fork(server, tmp_path / "log", ["--no-such-option"])) == 2
    assert "RUN_DIRECTORY" in (tmp_path / "log").read_text()


def test_a_signal_that_kills_arrives(waiting: ForkedWorker) -> None:
    assert waiting.poll() is None
    os.kill(waiting.process.pid, signal.SIGKILL)
    assert ended(waiting) == -signal.SIGKILL


def test_a_worker_has_a_session_of_its_own_and_nothing_of_the_server_open(
    server: ForkServer, waiting: ForkedWorker, tmp_path: Path
) -> None:
    pid, log = waiting.process.pid, str(tmp_path / "log")
    assert psutil.Process(pid).ppid() == server.pid
    wait_for(lambda: os.getsid(pid) == pid, seconds=30, every=0.02)
    wait_for(lambda: str(Path(f"/proc/{pid}/fd/1").readlink()) == log, seconds=30, every=0.02)
    descriptors = {int(file.name): str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    assert [descriptors[number] for number in range(3)] == ["/dev/null", log, log]
    assert not any(name.startswith("socket:") for name in descriptors.values())


def test_where_the_server_was_killed_its_workers_count_as_asked_to_stop(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        server = ForkServer(ENVIRONMENT, log)
    listing = tmp_path / "runs"
    os.mkfifo(listing)
    worker = fork(server, tmp_path / "log", [f"@{listing}"])
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: worker.poll() is None and server.gone, seconds=30)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert ended(worker) == EXIT_REQUEUE
    with pytest.raises(CannotForkError):
        fork(server, tmp_path / "log", [])
    server.close()
