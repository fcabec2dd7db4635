"""Checkpoints: whole or passed over, two kept, and nothing but tensors and plain values in them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from storage.layout import RunDirectory
from workers.checkpointing import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / ("a" * 20))


def state(tau: int) -> dict[str, object]:
    return {"tau": tau, "model": {"w": torch.arange(tau, dtype=torch.float32)}, "optimizer": {"state": {}}}


def test_without_a_checkpoint_there_is_nothing_to_load(run: RunDirectory) -> None:
    assert load_checkpoint(run, CPU) is None


def test_the_newest_is_loaded_bit_for_bit(run: RunDirectory) -> None:
    save_checkpoint(run, 5, state(5))
    save_checkpoint(run, 20, state(20))
    loaded = load_checkpoint(run, CPU)
    assert loaded is not None
    assert loaded["tau"] == 20
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


@pytest.mark.parametrize("damage", ["flip", "truncate", "no digest", "empty"])
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
    else:
        run.checkpoint_digest(9).unlink()
    loaded = load_checkpoint(run, CPU)
    assert loaded is not None
    assert loaded["tau"] == 5
    assert "checkpoint 9 does not match its digest" in capfd.readouterr().out


def test_with_all_damaged_the_run_starts_from_scratch(run: RunDirectory) -> None:
    for tau in (5, 9):
        save_checkpoint(run, tau, state(tau))
        run.checkpoint(tau).write_bytes(b"damaged")
    assert load_checkpoint(run, CPU) is None


def test_code_hidden_in_a_checkpoint_is_not_executed(run: RunDirectory, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (Path(tmp_path / "executed").write_text, ("x",))

    save_checkpoint(run, 1, {"tau": Evil()})
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(run, CPU)
    assert not (tmp_path / "executed").exists()
