"""Plans of sweeps that this machine or this store can't execute yet: shown all the same, refused by `run` and `submit`."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from tausweep.orchestrator.datasets import inception_weights
from tausweep.orchestrator.plan.parameter_counts import parameter_counts
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import find_sweep, read_sweep, shipped_sweeps
from tausweep.storage.layout import StoreLayout
from tests.unit.orchestrator.finished_store import SWEEP, refused, run_command, write_sweep

NEED_IMAGES = {
    "celeba-paper", "celeba-small", "conditional-paper", "frechet-paper", "long-tail-paper", "objectives-paper",
    "optimizers-paper",
}  # fmt: skip
NEED_PACKAGES = {"frechet", "frechet-paper"}


@pytest.fixture(scope="module", autouse=True)
def _counted(tmp_path_factory):
    """One process counts the networks of all shipped sweeps; each plan then finds them in the user's cache."""
    specs = [spec for name in shipped_sweeps() for spec in expand(read_sweep(find_sweep(name)))]
    parameter_counts(specs, StoreLayout(tmp_path_factory.mktemp("empty")))


@pytest.fixture
def _without_packages(monkeypatch):
    monkeypatch.setattr(inception_weights, "find_spec", lambda name: None)


def imported(tmp_path):
    text = SWEEP.replace("data: digits", "data: imported\n  set: tiles\n  size: 8\n  test_images: 8")
    return write_sweep(tmp_path, text)


@pytest.mark.parametrize("name", sorted(shipped_sweeps()))
@pytest.mark.usefixtures("_without_packages")
def test_every_shipped_sweep_is_planned_on_a_fresh_machine(name, store):
    done = run_command("plan", name, "--json", store=store.root)
    assert (done.code, done.err) == (0, "")
    plan = json.loads(done.out)
    assert all(run["p"] > 0 and run["steps"] > 0 and run["n"] > 0 for run in plan["runs"])
    assert plan["steps_left"] == sum(run["steps"] for run in plan["runs"])
    assert plan["images_left"] > plan["steps_left"]
    assert len(plan["lacking"]) == (name in NEED_IMAGES) + (name in NEED_PACKAGES)
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["celeba-small", "frechet", "frechet-paper", "long-tail-paper"])
@pytest.mark.usefixtures("_without_packages")
def test_what_a_plan_lacks_is_what_run_and_submit_refuse_with(name, store):
    lacking = json.loads(run_command("plan", name, "--json", store=store.root).out)["lacking"]
    refused(run_command("run", name, store=store.root), "\n".join(lacking))
    refused(run_command("submit", name, store=store.root), "\n".join(lacking))
    shown = run_command("plan", name, store=store.root).out
    assert all(f"lacking: {one}" in shown for one in lacking)
    assert not store.root.exists()


def test_runs_whose_images_are_not_there_have_no_id(tmp_path, store):
    shown = run_command("plan", imported(tmp_path), store=store.root).out.splitlines()
    assert shown[0].split() == ["n", "W", "optimizer", "seed", "p", "batch", "steps", "state"]
    runs = json.loads(run_command("plan", imported(tmp_path), "--json", store=store.root).out)["runs"]
    assert {run["run_id"] for run in runs} == {None}


def test_a_package_that_is_missing_hides_no_id(tmp_path, store, monkeypatch):
    file = write_sweep(
        tmp_path, SWEEP.replace("frechet_dims: 4", "frechet_dims: 4\n  extractor: random_conv")
    )
    before = json.loads(run_command("plan", file, "--json", store=store.root).out)["runs"]
    monkeypatch.setattr(inception_weights, "find_spec", lambda name: None)
    after = json.loads(run_command("plan", file, "--json", store=store.root).out)
    assert after["runs"] == before
    assert "pip install 'tausweep[fid]'" in after["lacking"][0]


def test_the_command_that_is_printed_brings_the_images(tmp_path, store):
    rng = np.random.default_rng(0)
    (tmp_path / "originals").mkdir()
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)).save(tmp_path / f"originals/{i}.png")
    file = imported(tmp_path)
    lack = json.loads(run_command("plan", file, "--json", store=store.root).out)["lacking"][0]
    command = lack.partition("prepare it with: tausweep ")[2].replace("PATH", str(tmp_path / "originals"))
    words = shlex.split(command)
    assert words[-2:] == ["--store", str(store.root)]
    assert run_command(*words[:-2], store=store.root).code == 0
    plan = json.loads(run_command("plan", file, "--json", store=store.root).out)
    assert plan["lacking"] == []
    assert all(run["run_id"] for run in plan["runs"])
