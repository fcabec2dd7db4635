"""A loop's runs are executed where it was asked for: on this machine, or by a scheduler until they are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tausweep.orchestrator.execution import ray_site
from tausweep.orchestrator.execution.site import site_of
from tausweep.orchestrator.executors.base import Handle, JobRequest
from tausweep.orchestrator.plan.plan import stored_plan
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.layout import RunDirectory
from tests.unit.orchestrator.finished_store import finish, prepared, refused, run_command, write_sweep


@dataclass
class Scheduler:
    """Executes what it is given at once."""

    name = "slurm"
    supervised = False
    array_tasks: int = 100
    jobs: int | None = None
    submitted: int = 0

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        handles = []
        for request in requests:
            for line in request.layout.job_runs(request.job_id).read_text().splitlines():
                finish(RunDirectory(Path(line)))
                self.submitted += 1
            details = {"slurm_id": request.job_id, "array": "1", "parallel": 1, "output": "/nowhere", "user": "me",
                       "submitted": 1.0, "resources": {},
                       "dashboard": "http://nowhere", "submission_id": request.job_id}  # fmt: skip
            handles.append(Handle(executor="slurm", job_id=request.job_id, details=details))
        return handles

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        return [False for _ in handles]

    def job_name(self, handle: Handle) -> str:
        return handle.job_id

    def at_once(self, handles: Sequence[Handle]) -> int:
        return len(handles)

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        return [None for _ in handles]

    def cancel(self, handles: Sequence[Handle]) -> None:
        raise AssertionError("nothing is to be cancelled")

    def limits(self, resources: Resources) -> Scheduler:
        return self


@pytest.fixture
def scheduler(monkeypatch) -> Scheduler:
    made = Scheduler()
    monkeypatch.setattr("tausweep.orchestrator.executors.registry.executor_of", lambda name: made)
    monkeypatch.setattr(ray_site, "require_place", lambda resources: SimpleNamespace(warning=None))
    monkeypatch.setattr("tausweep.orchestrator.execution.watching.POLL_SECONDS", 0.0)
    return made


@pytest.mark.parametrize("executor", ["slurm", "ray"])
def test_a_scheduler_is_given_the_runs_of_the_plan_and_waited_for(tmp_path, store, scheduler, executor):
    plan = prepared(write_sweep(tmp_path), store)
    site = site_of(executor, store)
    part = replace(site.place(plan), runs=plan.runs[:3])
    seen = []
    ended = site.execute(part, seen.append)
    assert [run.status.state for run in ended.runs] == ["succeeded"] * 3
    assert scheduler.submitted == 3
    assert seen[-1].count("succeeded") == 3
    assert stored_plan("tiny", store).count("pending") == 5


def test_refine_loops_through_the_executor_that_has_the_sweep(tmp_path, store, scheduler, monkeypatch):
    text = "grid:\n  n: [4, 32]\n  W: [4]\n  optimizer: [adam]\n  seed: [0, 1]\nwhen:\n  optimizer=adam: {lr: 4e-3}\n"
    head = "name: tiny\nexperiment: diffusion\nsettings: {data: digits, batch: 'min(512, n)', steps: 60, samples: 24, frechet_dims: 4}\n"
    plan = prepared(write_sweep(tmp_path, head + text), store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    child = tmp_path / "child.yaml"
    done = run_command(
        "refine", "tiny", "--auto", "-o", child, "--runs", "2", "--executor", "slurm", store=store.root
    )
    assert (done.code, done.err) == (0, "")
    assert scheduler.submitted == 2
    assert stored_plan("child", store).executor == "slurm"


def test_slurm_is_refused_where_there_is_none_before_anything_is_written(tmp_path, store, monkeypatch):
    plan = prepared(write_sweep(tmp_path), store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    monkeypatch.setenv("PATH", str(tmp_path))
    child = tmp_path / "child.yaml"
    done = run_command("refine", "tiny", "--auto", "-o", child, "--executor", "slurm", store=store.root)
    refused(done, "--executor slurm", "scontrol")
    assert not child.exists()
