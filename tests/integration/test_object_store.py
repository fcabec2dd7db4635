"""A sweep whose store is on an object store: the values of a local one, whatever happens to its workers."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from tausweep.storage.attempts.records import read_claim
from tausweep.storage.layout import StoreLayout
from tests.integration.tiny_sweep import run_command, science, start, states, write_sweep

pytestmark = pytest.mark.slow
FEW = ("n=4", "resources.workers=1", "resources.heartbeat_seconds=1")
"""The test server answers some hundred requests a second, so: two runs, and few heartbeats."""
STEPS = 2000


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny sweep, undisturbed, on a disk."""
    folder = tmp_path_factory.mktemp("local")
    run_command("run", write_sweep(folder, steps=STEPS), *FEW, store=folder / "runs")
    return folder / "runs"


def kill_a_worker_that_trains(store: StoreLayout) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        claims = [read_claim(store.run(run_id)) for run_id in store.run_ids()]
        for claim in claims:
            if claim is not None and claim.tau > 3:
                psutil.Process(claim.process.pid).send_signal(signal.SIGKILL)
                return
        time.sleep(0.1)
    pytest.fail("no worker trained in time")


def test_a_sweep_with_a_killed_worker_has_the_values_of_a_local_one(
    s3_store: StoreLayout, local: Path, tmp_path: Path
) -> None:
    running = start("run", write_sweep(tmp_path, steps=STEPS), *FEW, store=s3_store.root)
    kill_a_worker_that_trains(s3_store)
    running.communicate(timeout=300)
    run_command("resume", "tiny", store=s3_store.root)
    assert states(s3_store.root) == {"succeeded": 2}
    assert science(s3_store.root) == science(local)
    run_command("compact", store=s3_store.root)
    assert science(s3_store.root) == science(local)
    assert "nothing is wrong" in run_command("store", "check", store=s3_store.root).stdout
    assert (
        f"succeeded at tau = {STEPS}"
        in run_command("logs", s3_store.run_ids()[0], store=s3_store.root).stdout
    )


def test_two_runs_of_one_sweep_at_once_train_every_run_once(s3_store: StoreLayout, tmp_path: Path) -> None:
    both = [start("run", write_sweep(tmp_path), *FEW, store=s3_store.root) for _ in range(2)]
    for process in both:
        process.communicate(timeout=300)
    assert states(s3_store.root) == {"succeeded": 2}
    assert [s3_store.run(run_id).attempt_numbers() for run_id in s3_store.run_ids()] == [[1]] * 2


def test_figures_are_drawn_into_an_object_store(s3_store: StoreLayout, tmp_path: Path) -> None:
    run_command("run", write_sweep(tmp_path), *FEW, store=s3_store.root)
    run_command("figures", "tiny", store=s3_store.root)
    assert (s3_store.figures("tiny") / "samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [("run", "quickstart"), ("status",), ("query", "SELECT 1")])
def test_a_bucket_that_is_not_there_is_one_message(s3_bucket: str, command: tuple[str, ...]) -> None:
    done = run_command(*command, store="s3://no-such-bucket/runs", check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "tausweep: --store s3://no-such-bucket/runs: bucket 'no-such-bucket' does not exist"
    ]


def test_a_server_that_does_not_answer_is_one_message(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = run_command("status", store=f"{s3_bucket}/runs", check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "the object store cannot be used" in done.stderr
