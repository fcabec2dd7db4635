"""`tausweep export-pipeline`: from a checkpoint in a store to a folder, or one error and no folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from tausweep.jobs.data import digits
from tausweep.jobs.models.unet import build_unet
from tausweep.orchestrator.datasets import fingerprints
from tausweep.storage.files.atomic import publish
from tausweep.workers.checkpointing import save_checkpoint
from tausweep.workers.inputs import open_spec
from tests.unit.orchestrator.finished_store import run_command


@pytest.fixture
def run(store, make_run):
    """A run with checkpoints at tau = 50 and 100, whose weights are not trained, in a store with its images."""
    run = make_run(store, fingerprint=fingerprints.fingerprint_digits())
    spec = open_spec(run)
    publish(store.images(spec.data.fingerprint), lambda file: np.save(file, digits.digits()))
    store.sweeps.mkdir()
    for tau in (50, 100):
        torch.manual_seed(tau)
        weights = build_unet(spec.model, spec.data.shape).state_dict()
        save_checkpoint(run, tau, {"tau": tau, "model": weights, "optimizer": {}})
    return run


def export(run, *arguments):
    return run_command("export-pipeline", *map(str, arguments), store=run.store.root)


@pytest.mark.parametrize(("tau", "step"), [("50", 50), ("latest", 100)])
def test_a_checkpoint_becomes_a_folder_that_diffusers_loads(run, tmp_path, tau, step):
    folder = tmp_path / "new" / "pipe line"
    done = export(run, run.run_id[:6], tau, folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"run {run.run_id} at tau = {step} exported to {folder}\n"
    pipe = DiffusionPipeline.from_pretrained(folder)
    torch.manual_seed(step)
    expected = build_unet(open_spec(run).model, (1, 8, 8)).unet.state_dict()
    torch.testing.assert_close(dict(pipe.unet.state_dict()), dict(expected), rtol=0, atol=0)
    assert [path.name for path in folder.parent.iterdir()] == ["pipe line"]


def test_an_empty_folder_is_used(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert export(run, run.run_id, "latest", tmp_path / "empty").code == 0
    assert (tmp_path / "empty" / "model_index.json").exists()


def refused(run, folder, *arguments, code=2):
    """The error, after a look at what was left."""
    before = sorted(folder.parent.rglob("*"))
    done = export(run, *arguments, folder)
    assert done.code == code
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert sorted(folder.parent.rglob("*")) == before
    return done.err


@pytest.mark.parametrize("tau", ["75", "0", "newest", "5e1"])
def test_a_step_that_is_not_kept_is_refused_with_those_that_are(run, tmp_path, tau):
    error = refused(run, tmp_path / "out", run.run_id, tau)
    assert f"TAU = {tau}: no checkpoint of this step; there are 50, 100, or latest" in error


def test_a_run_without_checkpoints_is_refused(run, tmp_path):
    for path in list(run.checkpoints.iterdir()):
        path.unlink()
    assert "no checkpoint is kept" in refused(run, tmp_path / "out", run.run_id, "latest")


def test_an_unknown_run_is_refused(run, tmp_path):
    assert "xyz: no run id begins with this" in refused(run, tmp_path / "out", "xyz", "latest")


def test_an_ambiguous_run_is_refused(run, tmp_path, make_run):
    make_run(run.store, seed=1)
    assert "2 run ids begin with this" in refused(run, tmp_path / "out", "", "latest")


def test_a_folder_with_something_in_it_is_left_alone(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert "exists already" in refused(run, tmp_path / "out", run.run_id, "latest")


def test_a_damaged_checkpoint_is_named_with_the_others(run, tmp_path):
    content = bytearray(run.checkpoint(100).read_bytes())
    content[len(content) // 2] ^= 1
    run.checkpoint(100).write_bytes(content)
    error = refused(run, tmp_path / "out", run.run_id, "latest", code=1)
    assert f"run {run.run_id}: checkpoint 100 does not match its digest; other checkpoints: 50" in error


def test_missing_images_are_told_of(run, tmp_path):
    run.store.images(open_spec(run).data.fingerprint).unlink()
    assert "the prepared images are missing" in refused(run, tmp_path / "out", run.run_id, "latest")


def test_a_full_disk_leaves_no_half_of_a_folder(run, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tausweep.jobs.models.diffusers_pipeline._card", fail)
    assert "No space left" in refused(run, tmp_path / "out", run.run_id, "latest", code=1)
