"""Questions to SLURM: one for many jobs, answers kept, and silence that is taken for nothing."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from tausweep.orchestrator.executors.slurm import queue as slurm_queue
from tausweep.orchestrator.executors.slurm.queue import JobState, Queue, ask, ended, limits
from tausweep.storage.errors import InputError, TausweepError

USER = getpass.getuser()
SQUEUE = """7_0|RUNNING|None
7_1|PENDING|JobArrayTaskLimit
7_2|PENDING|None
8_0|COMPLETED|None
9_0|TIMEOUT|TimeLimit
9_1|REQUEUE_HOLD|launch failed requeued held
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`command(name, output, code)`: a command of this name on PATH, and the lines with which it was called."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_queue, "calls", {})

    def make(name: str, output: str = "", code: int = 0, words: str = ""):
        called = tmp_path / f"{name}.called"
        (tmp_path / f"{name}.output").write_text(output)
        file = tmp_path / name
        file.write_text(
            f'#!/bin/sh\necho "$*" >> "{called}"\ncat "{tmp_path}/{name}.output"\necho "{words}" >&2\nexit {code}\n'
        )
        file.chmod(0o755)
        return lambda: called.read_text().splitlines() if called.exists() else []

    return make


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_queue_is_asked_once_for_all_jobs_of_a_user_and_the_answer_kept(command):
    calls = command("squeue", SQUEUE)
    clock = Clock()
    queue = Queue(clock=clock)
    assert [queue.alive(USER, job, 0) for job in ("7_0", "7_1", "8_0", "9_0", "9_1", "5_0")] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    clock.now += 19
    queue.jobs(USER)
    assert len(calls()) == 1
    assert f"--user={USER}" in calls()[0]
    clock.now += 2
    queue.jobs(USER)
    assert len(calls()) == 2
    assert slurm_queue.calls == {"squeue": 2}


def test_why_a_job_waits_is_in_its_state(command):
    command("squeue", SQUEUE)
    jobs = Queue().jobs(USER)
    assert jobs is not None
    assert str(jobs["7_1"]) == "PENDING (JobArrayTaskLimit)"
    assert str(jobs["7_2"]) == "PENDING"
    assert str(jobs["9_0"]) == "TIMEOUT"


def test_of_a_job_that_is_newer_than_the_answer_nothing_is_known(command):
    command("squeue", "")
    clock = Clock()
    queue = Queue(clock=clock)
    assert queue.alive(USER, "1_0", submitted=clock.now + 1) is None
    assert queue.alive(USER, "1_0", submitted=clock.now - 60) is False


def test_after_a_submission_the_queue_is_asked_anew(command):
    calls = command("squeue", SQUEUE)
    queue = Queue()
    queue.jobs(USER)
    queue.forget()
    queue.jobs(USER)
    assert len(calls()) == 2


def test_silence_changes_nothing_and_is_asked_into_less_and_less_often(command):
    calls = command("squeue", code=1, words="slurm_load_jobs error: Unable to contact slurm controller")
    clock = Clock()
    queue = Queue(clock=clock)
    for _ in range(3600):
        assert queue.alive(USER, "7_0", 0) is None
        assert queue.jobs(USER) is None
        clock.now += 1
    assert 5 <= len(calls()) <= 12
    command("squeue", SQUEUE)
    clock.now += 601
    assert queue.alive(USER, "7_0", 0) is True


def test_a_word_that_is_not_known_is_a_living_job_s():
    assert JobState(state="SOMETHING_NEW").alive


def test_accounting_is_asked_in_batches(command):
    calls = command("sacct", "7_0|COMPLETED\n7_1|CANCELLED by 1000\n")
    found = ended(f"7_{index}" for index in range(501))
    assert found == {"7_0": JobState(state="COMPLETED"), "7_1": JobState(state="CANCELLED")}
    assert len(calls()) == 2


def test_where_accounting_is_off_nothing_is_known_of_ended_jobs(command):
    command("sacct", code=1, words="Slurm accounting storage is disabled")
    assert ended(["7_0"]) == {}


def test_a_command_that_is_missing_or_fails_is_told_in_its_own_words(command, monkeypatch):
    command("scontrol", code=1, words="slurm_load_ctl_conf error: Connection refused")
    with pytest.raises(TausweepError, match="scontrol: slurm_load_ctl_conf error: Connection refused"):
        limits()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="no command squeue; is this a machine that submits to SLURM"):
        ask("squeue")


def test_a_command_that_hangs_is_not_waited_for(command, tmp_path):
    command("squeue")
    (tmp_path / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TausweepError, match="did not answer within"):
        ask("squeue", timeout=0.2)


ASSOC = f"""Current Association Manager state

Association Records

ClusterName=dev Account=research UserName={USER}(0) Partition= Priority=0 ID=3
    MaxJobs=N(2) MaxSubmitJobs=1000(990)
    GrpJobs=N(2) GrpSubmitJobs=N(990)
ClusterName=dev Account=other UserName={USER}(0) Partition= Priority=0 ID=4
    MaxJobs=N(0) MaxSubmitJobs=20(5)
ClusterName=dev Account=research UserName=somebody(7) Partition= Priority=0 ID=5
    MaxSubmitJobs=3(3)
QOS Records

QOS=normal(1)
    MaxSubmitJobsPU=N GrpSubmitJobs=N(0)
QOS=small(2)
    GrpSubmitJobs=12(9)
"""


@pytest.fixture
def site(command, tmp_path):
    command("scontrol")
    (tmp_path / "scontrol").write_text(
        f'#!/bin/sh\nif [ "$2" = config ]; then echo "MaxArraySize            = 101"; else cat {tmp_path}/assoc; fi\n'
    )
    (tmp_path / "assoc").write_text(ASSOC)


@pytest.mark.parametrize(
    ("account", "qos", "jobs"),
    [("research", None, 10), ("other", None, 15), (None, None, 10), ("research", "small", 3)],
)
def test_the_site_s_limits_are_those_of_the_account_and_the_qos(site, account, qos, jobs):
    found = limits(account, qos)
    assert (found.array_tasks, found.jobs) == (101, jobs)


def test_a_site_without_limits_has_none(command):
    command("scontrol", "")
    assert limits().jobs is None
