"""What every executor must do, run against each: this machine, a real SLURM and a real Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.executors.base import Executor, Handle, JobRequest
from tausweep.orchestrator.executors.local import LocalExecutor
from tausweep.orchestrator.executors.ray.executor import RayExecutor
from tausweep.orchestrator.executors.slurm.executor import SlurmExecutor
from tausweep.orchestrator.plan.plan import Plan, make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.slurm_options import SlurmOptions
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.atomic import publish
from tausweep.storage.layout import StoreLayout
from tests.integration.tiny_sweep import run_command
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

SWEEP = """
name: contract
settings: {data: digits, model: mlp, W: 4, blocks: 1, batch: 4, lr: 1e-3, n: 4, steps: %d, eval_first: 2,
           eval_per_decade: 1, samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}
grid: {seed: %s}
"""
COMPLAINING = {
    "local": Resources(device="cuda:7"),
    # Without a GPU in the cluster no job may ask for one; this is a worker that says so itself.
    "slurm": Resources(slurm=SlurmOptions(python="python3 -c 'print(\"no cuda here\")'")),
    "ray": Resources(ray=RayOptions(python="python3 -c 'print(\"no cuda here\")'")),
}
REFUSED = {
    "local": ("processes: 4096", "processes = 4096"),
    "slurm": ("slurm: {partition: nosuchpartition}", "partition"),
    "ray": ("ray: {gpus: 1}", "ray.gpus = 1"),
}
"""Resources that no machine or cluster of the tests has, and what the message names."""


@pytest.fixture(
    params=[
        "local",
        "local, not forking",
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("ray", marks=pytest.mark.ray),
    ],
)
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    match request.param:
        case "slurm":
            yield SlurmExecutor()
        case "ray":
            request.getfixturevalue("ray_cluster")
            yield RayExecutor()
        case way:
            monkeypatch.setenv("TAUSWEEP_FORK", "1" if way == "local" else "0")
            with closing(LocalExecutor()) as local:
                yield local


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    return StoreLayout(tmp_path / "odd päth, with spaces" / "störe")


@pytest.fixture
def job(
    executor: Executor, layout: StoreLayout, tmp_path: Path
) -> Iterator[Callable[..., tuple[Plan, Handle]]]:
    """`job(runs, steps)`: a prepared sweep, submitted as one job; cancelled at the end of the test."""
    handles: list[Handle] = []

    def submit(runs: int, steps: int = 2, resources: Resources | None = None) -> tuple[Plan, Handle]:
        file = tmp_path / "contract.yaml"
        file.write_text(SWEEP % (steps, list(range(runs))))
        plan = make_plan(read_sweep(file), layout)
        prepare(plan, layout)
        job_id = f"contract-4711-{len(handles)}"
        listing = "".join(f"{layout.run(run.run_id).path}\n" for run in plan.runs)
        publish(layout.job_runs(job_id), lambda target: target.write(listing.encode()))
        settings = resources or Resources(heartbeat_seconds=0.2)
        handle = executor.submit([JobRequest(job_id=job_id, layout=layout, resources=settings)])[0]
        handles.append(handle)
        return plan, handle

    yield submit
    executor.cancel(handles)
    wait_for(lambda: not any(executor.alive(handles)))


def test_twenty_runs_are_executed_exactly_once_by_two_jobs(
    executor: Executor, layout: StoreLayout, job
) -> None:
    plan, first = job(20)
    _, second = job(20)
    wait_for(lambda: not any(executor.alive([first, second])))
    for run in plan.runs:
        assert run_status(layout.run(run.run_id)).state == "succeeded"
        assert layout.run(run.run_id).attempt_numbers() == [1]


def test_cancel_leaves_a_checkpoint_and_a_run_that_can_go_on_and_another_process_can_tell(
    executor: Executor, layout: StoreLayout, job
) -> None:
    plan, handle = job(1, steps=100_000)
    stranger = type(executor)()
    assert stranger.alive([handle]) == [True]  # also while it waits
    run = layout.run(plan.runs[0].run_id)
    wait_for(lambda: run_status(run).tau > 3)
    assert executor.alive([handle]) == stranger.alive([handle]) == [True]
    executor.cancel([handle])
    wait_for(lambda: executor.alive([handle]) == [False])
    assert stranger.alive([handle]) == [False]
    status = run_status(run)
    assert status.state == "preempted"
    assert run.checkpoint_taus()[-1] == status.tau


def test_what_a_job_prints_is_in_its_log_and_what_a_run_prints_in_the_run_s(
    executor: Executor, layout: StoreLayout, job
) -> None:
    plan, handle = job(1, resources=COMPLAINING[executor.name])
    wait_for(lambda: executor.alive([handle]) == [False])
    told = layout.job_log(handle.job_id).read_text() + "".join(
        layout.run(run.run_id).log(1).read_text()
        for run in plan.runs
        if layout.run(run.run_id).log(1).exists()
    )
    assert "cuda" in told.lower()


def test_resources_that_are_not_there_are_refused_at_submit_and_nothing_is_submitted(
    executor: Executor, layout: StoreLayout, tmp_path: Path
) -> None:
    asked, named = REFUSED[executor.name]
    file = tmp_path / "contract.yaml"
    file.write_text(SWEEP % (2, [0]) + f"resources: {{{asked}}}\n")
    done = run_command("submit", file, "--executor", executor.name, store=layout.root, check=False)
    assert done.returncode in (1, 2)
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert layout.job_ids() == []
    assert list(layout.jobs.glob("*.runs")) == []


def test_a_run_whose_worker_is_killed_goes_on_from_its_checkpoint(
    executor: Executor, layout: StoreLayout, job
) -> None:
    resources = Resources(heartbeat_seconds=0.2, checkpoint_steps=50, retry_seconds=0.2)
    plan, handle = job(1, steps=1500, resources=resources)
    run = layout.run(plan.runs[0].run_id)
    wait_for(lambda: run_status(run).tau > 100)
    os.kill(last_attempt(run).process.pid, signal.SIGKILL)  # lost, without a word to anybody
    wait_for(lambda: executor.alive([handle]) == [False] or run.attempt_numbers() == [1, 2])
    if executor.alive([handle]) == [False] and run.attempt_numbers() == [1]:
        job(1, steps=1500, resources=resources)  # a job that does not go on by itself is followed by another
    wait_for(lambda: run_status(run).state == "succeeded")
    assert run.attempt_numbers() == [1, 2]
    assert last_attempt(run).resumed_from_tau >= 100


def test_a_job_that_has_ended_does_not_live_and_is_cancelled_without_a_word(executor: Executor, job) -> None:
    _, handle = job(1)
    wait_for(lambda: executor.alive([handle]) == [False])
    executor.cancel([handle])
    assert type(executor)().alive([handle]) == [False]
    assert len(executor.words([handle])) == 1
