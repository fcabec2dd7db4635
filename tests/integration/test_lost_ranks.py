"""Ranks that are killed, stopped or out of memory: the attempt fails by name, and the resumed run is right."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tausweep.storage.attempts.records import read_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import RunDirectory
from tests.integration.ranks import (
    MLP,
    SETTINGS,
    UNET,
    end_workers,
    finish,
    prepare,
    store_at,
    trains,
    worker,
)
from tests.integration.tiny_sweep import run_command, science
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    end_workers()


TWO = ("--processes", 2)
LONG = {"steps": 500_000, "eval_first": 500_000}
EXIT_REQUEUE = 75


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return prepare(store_at(tmp_path / "runs"), MLP, **LONG)


def files(run: RunDirectory) -> list[Path]:
    return sorted(path for path in run.path.rglob("*") if path.is_file())


def test_a_rank_that_is_killed_fails_the_attempt_by_name_and_another_run_goes_on(run: RunDirectory) -> None:
    other = prepare(run.store, MLP, steps=50)
    process = worker(run.path, other.path, *TWO)
    victim = trains(run, process)[0]
    victim.kill()
    wait_for(lambda: run_status(run).state == "failed", seconds=20)
    left = files(run)
    finish(process)
    status = run_status(run)
    assert status.failure == "lost_worker"
    assert str(status.error).startswith(f"rank 1 (pid {victim.pid}) was killed by SIGKILL")
    # Its claim may still have been there: that goes when the end is recorded.
    assert set(files(run)) <= set(left), "nothing is published after the end"
    assert run_status(other).state == "succeeded"


def test_a_rank_that_is_stopped_fails_the_attempt_after_the_time_out(run: RunDirectory) -> None:
    process = worker(run.path, *TWO, "--rank-timeout-seconds", 4)
    victim = trains(run, process)[0]
    victim.suspend()
    finish(process, seconds=60)
    status = run_status(run)
    assert status.failure == "lost_worker"
    assert f"rank 1 (pid {victim.pid}) was lost or did not answer for 4 s" in str(status.error)
    assert not victim.is_running()


def test_the_ranks_end_with_rank_0(run: RunDirectory) -> None:
    process = worker(run.path, "--processes", 3)
    others = trains(run, process)
    assert len(others) == 2
    process.kill()
    _, alive = psutil.wait_procs(others, timeout=20)
    assert alive == []
    process.communicate()


@pytest.mark.parametrize("everyone", [False, True], ids=["rank 0", "all ranks"])
def test_sigterm_leaves_a_checkpoint_and_a_run_that_can_go_on(run: RunDirectory, everyone: bool) -> None:
    process = worker(run.path, *TWO)
    trains(run, process)
    if everyone:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    finish(process, code=EXIT_REQUEUE, seconds=60)
    record = read_attempt(run, 1)
    assert record.state == "preempted"
    assert run.checkpoint_taus()[-1] == record.tau


def test_a_rank_that_is_out_of_memory_tells_its_own_error(run: RunDirectory) -> None:
    process = worker(run.path, *TWO)
    victim = trains(run, process)[0]
    victim.rlimit(psutil.RLIMIT_DATA, (2**20, 2**20))
    finish(process, seconds=60)
    record = read_attempt(run, 1)
    assert record.failure == "out_of_memory"
    assert str(record.error).startswith(f"rank 1 (pid {victim.pid}): ")
    assert "jobs/training/loop.py" in str(record.traceback)


def test_a_run_whose_rank_was_killed_is_finished_by_resume_as_if_undisturbed(tmp_path: Path) -> None:
    grid = {name: value for name, value in (SETTINGS | UNET).items() if name not in ("fingerprint", "steps")}
    lines = [f"  {name}: {value}" for name, value in grid.items()]
    file = tmp_path / "pair.yaml"
    file.write_text(
        "\n".join(["settings:", *lines, "  dropout: 0.3", "grid: {steps: [120]}"])
        + "\nresources: {processes: 2, heartbeat_seconds: 0.1, checkpoint_seconds: 0.3, max_attempts: 1}\n"
    )
    run_command("run", file, store=tmp_path / "undisturbed")
    store = store_at(tmp_path / "disturbed")
    run_command("submit", file, store=store.root)
    wait_for(lambda: any(run_status(store.run(i)).tau > 30 for i in store.run_ids()))
    run = store.run(store.run_ids()[0])
    wait_for(lambda: bool(run.checkpoint_taus()))
    leader = psutil.Process(read_attempt(run, 1).process.pid)
    leader.children()[0].kill()
    wait_for(lambda: run_status(run).state == "failed", seconds=30)
    psutil.wait_procs([leader], timeout=30)
    assert run_status(run).failure == "lost_worker"
    run_command("resume", "pair", store=store.root)
    assert read_attempt(run, 2).resumed_from_tau
    assert science(store.root) == science(tmp_path / "undisturbed"), "two ranks add in either order alike"


def test_more_cores_than_the_machine_has_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text(
        "settings: {n: 4, W: 4, batch: 4, steps: 40, lr: 1e-3, seed: 0}\nresources: {processes: 4096}\n"
    )
    done = run_command("run", file, store=tmp_path / "runs", check=False)
    assert done.returncode == 2, done.stderr
    assert "processes = 4096: workers × processes × threads = 1 × 4096 × 1 cores are needed" in done.stderr
    assert not (tmp_path / "runs").exists()
