"""What a job does on its node: run the worker, pass signals on, and be requeued if there is more to do.

The races with SLURM itself are played here one by one, with a `scontrol` that answers as SLURM 22.05 was seen to; the
real one is in tests/integration/test_slurm.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tausweep.storage.layout import StoreLayout
from tests.unit.orchestrator.finished_store import finish, prepared, write_sweep

RUN = """
import sys, json
from tausweep.orchestrator.executors.slurm.job import SlurmJob
told = json.loads(sys.argv[1])
SlurmJob(store=told["store"], job_id="tiny-1", command=tuple(told["command"]), seconds=60, ranks=told["ranks"])()
"""
WORKER = """
import os, signal, sys, time
code, patience, told = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
def stop(number, frame):
    print("worker: got", signal.Signals(number).name, flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
print("worker: arguments", *sys.argv[4:], flush=True)
print("worker: rank", os.environ.get("RANK"), "of", os.environ.get("WORLD_SIZE"), flush=True)
open(told, "w").close()
time.sleep(patience)
sys.exit(code)
"""


@pytest.fixture
def listed(tmp_path, store):
    """A store with eight runs, given to the job tiny-1."""
    plan = prepared(write_sweep(tmp_path), store)
    runs = [store.run(run.run_id) for run in plan.runs]
    store.jobs.mkdir(parents=True, exist_ok=True)
    store.job_runs("tiny-1").write_text("".join(f"{run.path}\n" for run in runs))
    return runs


@pytest.fixture
def scontrol(tmp_path) -> Callable[..., Callable[[], list[str]]]:
    """`scontrol(state, requeue)`: a command of this name; returns what it was asked."""

    def make(state: str = "RUNNING", requeue: str = "exit 0") -> Callable[[], list[str]]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        asked = tmp_path / "asked"
        file = folder / "scontrol"
        file.write_text(
            f'#!/bin/sh\necho "$*" >> "{asked}"\n'
            f'if [ "$1" = requeue ]; then {requeue}; else echo "JobId=7 JobState={state} Reason=None"; fi\n'
        )
        file.chmod(0o755)
        return lambda: asked.read_text().splitlines() if asked.exists() else []

    return make


@pytest.fixture
def job(tmp_path, store: StoreLayout):
    """`job(code, patience, signal)`: what the job printed, and its exit code."""

    def run(
        code: int = 0,
        *,
        patience: float = 0,
        number: int | None = None,
        ranks: int = 1,
        **environment: str,
    ) -> tuple[str, int]:
        ready = tmp_path / "ready"
        command = [sys.executable, "-c", WORKER, str(code), str(patience), str(ready)]
        told = json.dumps({"store": str(store.root), "command": command, "ranks": ranks})
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, told],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin"}
            | {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
            | {
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
                )
            }
            | environment,
        )
        if number is not None:
            deadline = time.monotonic() + 60
            while not ready.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        log = store.job_log("tiny-1")
        return output + (log.read_text() if log.exists() else ""), process.returncode

    return run


def test_the_worker_gets_what_is_left_of_the_budget_and_prints_into_the_job_s_log(
    listed, scontrol, job, store
):
    asked = scontrol()
    _, code = job()
    assert code == 0
    assert asked() == []
    told = store.job_log("tiny-1").read_text()
    assert "worker: arguments --wall-seconds" in told
    assert 30 <= float(told.split("--wall-seconds")[1].split()[0]) <= 60


def test_a_worker_whose_time_is_over_has_its_job_requeued_by_the_element_s_own_id(listed, scontrol, job):
    asked = scontrol()
    told, code = job(75)
    assert (code, asked()) == (0, ["requeue 7_3"]), told


def test_a_job_that_is_no_array_s_is_requeued_by_its_id(listed, scontrol, job):
    asked = scontrol()
    job(75, SLURM_ARRAY_JOB_ID="", SLURM_ARRAY_TASK_ID="")
    assert asked() == ["requeue 9"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=["USR1", "USR2"])
def test_a_warning_lets_the_worker_checkpoint_and_the_job_go_on(listed, scontrol, job, number):
    asked = scontrol(state="COMPLETING")  # not even asked: nobody ends this job
    told, code = job(patience=50, number=number)
    assert "worker: got SIGTERM" in told
    assert (code, asked()) == (0, ["requeue 7_3"])


def test_a_job_that_is_preempted_asks_for_its_requeue(listed, scontrol, job):
    asked = scontrol(state="RUNNING")
    told, code = job(patience=50, number=signal.SIGTERM)
    assert "worker: got SIGTERM" in told
    assert code == 0
    assert asked() == ["--oneliner show job 7_3", "requeue 7_3"]


def test_a_job_that_is_cancelled_does_not_come_back(listed, scontrol, job):
    asked = scontrol(state="COMPLETING")
    told, code = job(patience=50, number=signal.SIGTERM)
    assert "worker: got SIGTERM" in told
    assert code == 128 + signal.SIGTERM
    assert asked() == ["--oneliner show job 7_3"]


def test_a_requeue_that_ends_whoever_asked_for_it_is_one(listed, scontrol, job):
    asked = scontrol(state="COMPLETING", requeue="kill -TERM $$")
    told, code = job(75)
    assert code == 0
    assert asked() == ["requeue 7_3", "--oneliner show job 7_3"]
    assert "continues as" not in told


def test_a_requeue_that_somebody_else_asked_for_already_is_one(listed, scontrol, job):
    scontrol(requeue='echo "Job is pending execution" >&2; exit 1')
    told, code = job(75)
    assert (code, "continues as" in told) == (0, False)


def test_where_nothing_is_left_the_job_just_ends(listed, scontrol, job):
    for run in listed:
        finish(run)
    asked = scontrol()
    told, code = job(75)
    assert "nothing left to do" in told
    assert (code, asked()) == (0, [])


def test_a_job_that_was_given_up_while_it_waited_does_nothing(listed, scontrol, job, store):
    store.job_runs("tiny-1").unlink()
    told, code = job(3)
    assert "nothing left to do" in told
    assert code == 0


def test_a_fault_of_the_worker_is_the_job_s(listed, scontrol, job):
    asked = scontrol()
    _, code = job(3)
    assert (code, asked()) == (3, [])


def test_a_node_that_does_not_see_the_store_says_so(scontrol, job, store):
    scontrol()
    told, code = job()
    assert code == 1
    assert "this node does not see the store; use a folder that all nodes share" in told


def test_of_several_ranks_the_first_alone_asks_and_each_finds_its_place(listed, scontrol, job, store):
    asked = scontrol()
    place = {"SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}
    told, _ = job(75, ranks=2, SLURM_PROCID="1", **place)
    assert "worker: rank 1 of 2" in told
    assert asked() == []
    told, _ = job(75, ranks=2, SLURM_PROCID="0", **place)
    assert "worker: rank 0 of 2" in told
    assert asked() == ["requeue 7_3"]
