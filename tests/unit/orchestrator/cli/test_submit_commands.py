"""Which executor gets a sweep: what is refused before anything is written, and where `resume` goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tausweep.orchestrator.execution.prepare import remember_executor
from tausweep.orchestrator.plan.plan import stored_plan
from tests.unit.orchestrator.finished_store import prepared, refused, run_command, write_specs, write_sweep


@pytest.fixture
def file(tmp_path):
    return write_sweep(tmp_path)


@pytest.mark.parametrize("executor", ["rai", "lokal"])
def test_an_executor_that_is_not_there_is_refused_before_anything_is_written(executor, file, store):
    refused(
        run_command("submit", file, "--executor", executor, store=store.root),
        f"--executor {executor}",
        "local",
    )
    assert not store.root.exists()


def test_ray_is_refused_where_there_is_none_before_anything_is_written(file, store, snapshot):
    write_specs(file, store)  # so that p is known
    before = snapshot(store.root)
    nowhere = "http://127.0.0.1:9"
    arguments = ("submit", file, "--executor", "ray", "--address", nowhere)
    refused(run_command(*arguments, store=store.root), "--executor ray", nowhere)
    assert snapshot(store.root) == before


def test_an_address_is_refused_where_it_is_of_no_use(file, store):
    arguments = ("submit", file, "--address", "auto")
    refused(run_command(*arguments, store=store.root), "--address", "only with --executor ray")
    assert not store.root.exists()


def test_slurm_is_refused_where_there_is_none_before_anything_is_written(
    file, store, snapshot, monkeypatch, tmp_path
):
    write_specs(file, store)  # so that p is known
    before = snapshot(store.root)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(
        run_command("submit", file, "--executor", "slurm", store=store.root), "--executor slurm", "scontrol"
    )
    assert snapshot(store.root) == before


def test_a_profile_that_is_wrong_is_refused_before_anything_is_written(file, store, snapshot, tmp_path):
    write_specs(file, store)  # so that p is known
    before = snapshot(store.root)
    profile = tmp_path / "mine.yaml"
    profile.write_text("time: 1:00:00\npartion: gpu\n")
    command = ("submit", file, "--executor", "slurm", "--profile")
    refused(run_command(*command, profile, store=store.root), "mine.yaml:2", "partion", "'partition'")
    refused(run_command(*command, "one-gup", store=store.root), "--profile one-gup", "'one-gpu'")
    refused(
        run_command(*command, "one-gpu", "resources.device=cpu", store=store.root),
        "slurm.gpus",
        "needs no GPU",
    )
    assert snapshot(store.root) == before


def test_resume_goes_on_where_the_sweep_was_submitted(file, store, monkeypatch, tmp_path):
    plan = prepared(file, store)
    remember_executor(replace(plan, executor="slurm"), store)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(run_command("resume", "tiny", store=store.root), "--executor slurm", "scontrol")
    assert stored_plan("tiny", store).executor == "slurm"


@pytest.mark.parametrize("option", [("--profile", "one-gpu"), ("--dry-run",), ("--canary",), ("--watch",)])
def test_what_only_slurm_has_is_refused_elsewhere(option, file, store):
    refused(run_command("submit", file, *option, store=store.root), option[0], "--executor slurm")
    assert not store.root.exists()
