"""Runs trained by several ranks: what one process would have computed, to rounding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tausweep.storage.attempts.records import read_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.tables.scan import read_table
from tausweep.workers.inputs import open_spec
from tests.integration.ranks import end_workers, finish, prepare, store_at, weights, worker

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    end_workers()


FEW = "more ranks than images, v, a sampler that adds noise"
RUNS = {
    "adam, odd batch, dropout": {"dropout": 0.3},
    "sgd, warm-up, clipping, dropout": {
        "optimizer": "sgd",
        "lr": 0.02,
        "batch": 3,
        "warmup": 20,
        "clip": 1,
        "dropout": 0.2,
    },
    FEW: {"batch": 2, "steps": 60, "prediction": "v", "dropout": 0.1, "eta": 1},
}
DIVERGING = {"optimizer": "sgd", "lr": 1e6, "batch": 4}


def train_all(layout: StoreLayout, processes: int) -> dict[str, RunDirectory]:
    """Train all runs in one worker, the diverging one first."""
    runs = {"diverging": prepare(layout, **DIVERGING)}
    runs |= {name: prepare(layout, **changes) for name, changes in RUNS.items()}
    finish(worker(*(run.path for run in runs.values()), "--processes", processes))
    return runs


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    return train_all(store_at(tmp_path_factory.mktemp("alone")), 1)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    return train_all(store_at(tmp_path_factory.mktemp("together")), 2)


def column(run: RunDirectory, table: str, name: str) -> np.ndarray:
    """A column of what a run measured, in the order of the reader."""
    return read_table(run.store, table, [run.run_id])[name].to_numpy()


def assert_same(first: RunDirectory, second: RunDirectory) -> None:
    assert run_status(first).state == run_status(second).state == "succeeded"
    adam = open_spec(first).optimizer.optimizer == "adam"
    # Adam makes steps of lr from the rounding of a gradient that is zero in exact arithmetic, that of a bias before a
    # group norm for one: such weights are free, and what is measured does not depend on them.
    for name, tensor in [] if adam else weights(first).items():
        torch.testing.assert_close(weights(second)[name], tensor, rtol=1e-5, atol=1e-5)
    for table, exact, close in (
        ("metrics", ("tau", "metric", "t"), ("value",)),
        ("neighbours", ("tau", "sample", "nn1", "nn2"), ("d1", "d2")),
    ):
        for name in exact:
            np.testing.assert_array_equal(column(second, table, name), column(first, table, name))
        for name in close:
            np.testing.assert_allclose(
                column(second, table, name), column(first, table, name), rtol=1e-5, atol=1e-5
            )
    for one, other in zip(column(first, "samples", "image"), column(second, "samples", "image"), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_compute_what_one_process_does(alone, together, name: str) -> None:
    assert_same(alone[name], together[name])


def test_a_rank_without_an_image_of_the_batch_takes_part(alone, tmp_path: Path) -> None:
    run = prepare(store_at(tmp_path), **RUNS[FEW])
    finish(worker(run.path, "--processes", 3))
    assert_same(alone[FEW], run)


def test_a_run_that_diverges_fails_as_with_one_process_and_the_ranks_go_on(alone, together) -> None:
    one, several = run_status(alone["diverging"]), run_status(together["diverging"])
    assert (one.failure, several.failure) == ("not_finite", "not_finite")
    assert str(one.error).split(";")[0] == str(several.error).split(";")[0]


def test_torchrun_s_ranks_compute_the_same(alone, tmp_path: Path) -> None:
    name = "sgd, warm-up, clipping, dropout"
    run = prepare(store_at(tmp_path), **RUNS[name])
    torchrun = (
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tausweep.workers",
    )
    finish(worker(run.path, python=torchrun))
    assert read_attempt(run, 1).state == "succeeded"
    assert_same(alone[name], run)


def test_an_environment_that_is_half_torchrun_s_is_one_message_and_no_attempt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = prepare(store_at(tmp_path))
    output = finish(worker(run.path), code=2)
    assert output.startswith(
        "worker: WORLD_SIZE = '2': RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT must be set"
    )
    assert "Traceback" not in output
    assert run.attempt_numbers() == []


def test_ranks_leave_no_process_behind(together) -> None:
    listing = [p for p in Path("/proc").glob("[0-9]*/cmdline") if os.access(p, os.R_OK)]
    told = [p.read_bytes().decode(errors="replace") for p in listing]
    store = str(together["diverging"].store.root)
    assert not [line for line in told if store in line and "workers" in line]
