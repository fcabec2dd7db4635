"""Checkpoints: whole or passed over, two kept, and nothing but tensors and plain values in them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.layout import RunDirectory
from tausweep.workers.checkpointing import CheckpointPolicy, load_checkpoint, save_checkpoint
from tests.unit.jobs.training.test_loop import TINY


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / ("a" * 20))


def state(tau: int) -> dict[str, object]:
    return {"tau": tau, "model": {"w": torch.arange(tau, dtype=torch.float32)}, "optimizer": {"state": {}}}


def test_without_a_checkpoint_there_is_nothing_to_load(run: RunDirectory) -> None:
    assert load_checkpoint(run) == (None, [])


def test_the_newest_is_loaded_bit_for_bit(run: RunDirectory) -> None:
    save_checkpoint(run, 5, state(5))
    save_checkpoint(run, 20, state(20))
    loaded, damaged = load_checkpoint(run)
    assert loaded is not None
    assert (loaded["tau"], damaged) == (20, [])
    assert torch.equal(loaded["model"]["w"], torch.arange(20.0))


def test_two_are_kept(run: RunDirectory) -> None:
    for tau in (1, 2, 10, 300):
        save_checkpoint(run, tau, state(tau))
    assert run.checkpoint_taus() == [10, 300]
    assert sorted(f.name for f in run.checkpoints.iterdir()) == [
        "10.pt",
        "10.pt.sha256",
        "300.pt",
        "300.pt.sha256",
    ]


@pytest.mark.parametrize(
    "damage", ["flip", "truncate", "no digest", "empty", "cut before its digest was made", "not torch's"]
)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(
    run: RunDirectory, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(run, 5, state(5))
    save_checkpoint(run, 9, state(9))
    content = bytearray(run.checkpoint(9).read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        run.checkpoint(9).write_bytes(content)
    elif damage == "truncate":
        run.checkpoint(9).write_bytes(content[:-10])
    elif damage == "empty":
        run.checkpoint(9).write_bytes(b"")
    elif damage == "no digest":
        run.checkpoint_digest(9).unlink()
    else:
        content = content[:-10] if damage.startswith("cut") else bytearray(b"something else")
        run.checkpoint(9).write_bytes(content)
        run.checkpoint_digest(9).write_text(hashlib.sha256(content).hexdigest())
    loaded, damaged = load_checkpoint(run)
    assert loaded is not None
    assert (loaded["tau"], damaged) == (5, [9])
    fits = damage in ("cut before its digest was made", "not torch's")
    problem = "cannot be loaded" if fits else "does not match its digest"
    assert f"WARNING: checkpoint 9 {problem}" in capfd.readouterr().out


def test_with_all_damaged_the_run_starts_from_scratch_and_says_so(
    run: RunDirectory, capfd: pytest.CaptureFixture[str]
) -> None:
    for tau in (5, 9):
        save_checkpoint(run, tau, state(tau))
        run.checkpoint(tau).write_bytes(b"damaged")
    assert load_checkpoint(run) == (None, [9, 5])
    assert "starts again from tau = 0" in capfd.readouterr().out


def test_a_checkpoint_that_was_passed_over_goes_when_the_next_is_saved(run: RunDirectory) -> None:
    for tau in (5, 9):
        save_checkpoint(run, tau, state(tau))
    run.checkpoint(9).write_bytes(b"damaged")
    save_checkpoint(run, 7, state(7))
    assert run.checkpoint_taus() == [5, 7]
    assert not run.checkpoint_digest(9).exists()


def test_those_asked_for_are_kept_besides_the_two_newest(run: RunDirectory) -> None:
    for tau in range(1, 8):
        save_checkpoint(run, tau, state(tau), keep={2, 4})
    assert run.checkpoint_taus() == [2, 4, 6, 7]


@pytest.mark.slow
def test_memory_that_runs_out_is_not_taken_for_damage(run: RunDirectory) -> None:
    """In a process of its own, whose address space ends before the checkpoint does."""
    save_checkpoint(run, 1, {"tau": 1, "model": {"w": torch.zeros(40_000_000)}})
    script = """
import resource, sys
from pathlib import Path
import psutil
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.layout import RunDirectory
from tausweep.workers.checkpointing import load_checkpoint
from tausweep.workers.failures import describe
run = RunDirectory(Path(sys.argv[1]))
limit = psutil.Process().memory_info().vms + 240_000_000  # the file's 160 MB fit in, its tensor does not
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    load_checkpoint(run)
except Exception as error:
    print(describe(error)["failure"])
"""
    command = [sys.executable, "-c", script, str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "out_of_memory"


@pytest.mark.parametrize(
    ("steps", "seconds", "last_save", "due"),
    [
        (0, 59, 0, False),
        (0, 60, 0, True),
        (0, 99, 2, False),
        (0, 100, 2, True),
        (9, 0, 0, False),
        (10, 0, 0, True),
        (10, 0, 9, True),
    ],
)
def test_what_comes_first_is_due_but_by_time_saving_costs_less_than_2_percent(
    steps: int, seconds: float, last_save: float, due: bool
) -> None:
    policy = CheckpointPolicy(seconds=60, steps=10)
    assert policy.due(steps=steps, seconds=seconds, last_save=last_save) is due


def test_by_default_no_number_of_steps_is_due() -> None:
    assert not CheckpointPolicy().due(steps=10**9, seconds=0, last_save=0)


def test_evaluated_steps_are_kept_when_asked_for() -> None:
    spec = RunSpec.from_settings(TINY)
    assert CheckpointPolicy(keep="evaluations").kept(spec) == frozenset(spec.taus)
    assert CheckpointPolicy(keep=(3, 50)).kept(spec) == {3, 50}


def test_code_hidden_in_a_checkpoint_is_not_executed(run: RunDirectory, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (Path(tmp_path / "executed").write_text, ("x",))

    save_checkpoint(run, 1, {"tau": Evil()})
    assert load_checkpoint(run) == (None, [1])
    assert not (tmp_path / "executed").exists()
