"""Which extractor a sweep's runs get: the plan looks for Inception weights in the store, and tells what it found."""

from __future__ import annotations

import json

import pytest

from tausweep.orchestrator.datasets import inception_weights
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.records import write_record
from tests.unit.orchestrator.finished_store import SWEEP, refused, run_command, write_specs, write_sweep

DIGEST = "6726825d" + "0" * 56
ASKING = SWEEP.replace("  frechet_dims: 4", "  frechet_dims: 4\n  extractor: inception")


@pytest.fixture
def file(tmp_path):
    return write_sweep(tmp_path, ASKING)


def stage(store):
    """What `tausweep data fid-weights` leaves."""
    publish(store.inception_weights(DIGEST), lambda target: target.write(b"weights"))
    write_record(store.inception, {"digest": DIGEST, "file": "weights"})


def plan(file, store, *options):
    if not store.root.exists():
        write_specs(file, store)
    done = run_command("plan", file, *options, store=store.root)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_without_weights_the_plan_says_so_once(file, store):
    out = plan(file, store)
    assert out.count("the store has no Inception weights") == 1
    assert "called frechet_random_conv, which is not an FID" in out


def test_with_weights_it_is_silent_and_writes_their_digest_into_the_runs(file, store):
    stage(store)
    assert "Inception" not in plan(file, store)
    runs = json.loads(plan(file, store, "--json"))["runs"]
    assert {run["extractor_weights"] for run in runs} == {DIGEST}


def test_runs_with_weights_are_others_than_those_without(file, store):
    without = {run["run_id"] for run in json.loads(plan(file, store, "--json"))["runs"]}
    stage(store)
    assert not without & {run["run_id"] for run in json.loads(plan(file, store, "--json"))["runs"]}


def test_weights_are_nothing_to_runs_that_do_not_ask(tmp_path, store):
    plain = write_sweep(tmp_path)
    before = plan(plain, store, "--json")
    stage(store)
    assert plan(plain, store, "--json") == before


def test_a_digest_is_not_the_users_to_write(tmp_path, store):
    file = write_sweep(tmp_path, ASKING + f"  seed=0: {{extractor_weights: '{DIGEST}'}}\n")
    done = run_command("plan", file, store=store.root)
    assert done.code == 2
    assert "extractor_weights" in done.err


def test_an_unknown_extractor_is_refused_with_line_and_nearest_name(tmp_path, store):
    file = write_sweep(tmp_path, ASKING.replace("inception", "incepton"))
    done = run_command("plan", file, store=store.root)
    assert done.code == 2
    assert "extractor = 'incepton'" in done.err
    assert "did you mean 'inception'" in done.err
    assert not store.root.exists()


def test_packages_that_are_missing_are_named_and_run_refuses(file, store, monkeypatch):
    write_specs(file, store)
    monkeypatch.setattr(inception_weights, "find_spec", lambda name: None)
    assert "pip install 'tausweep[fid]'" in plan(file, store)
    refused(
        run_command("run", file, store=store.root), "extractor = inception", "pip install 'tausweep[fid]'"
    )
