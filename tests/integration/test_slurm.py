"""Sweeps on a real SLURM: preempted, cut off by time limits, requeued, their nodes killed; and what users are told.

The cluster is that of deploy/slurm/dev-cluster: two nodes n1 and n2, partition urgent preempts partition main.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tausweep.storage.attempts.records import read_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.sql import query
from tests.faults.sweeps import attempts, findings
from tests.integration.slurm_site import DEV_CLUSTER, queue, restarts, running, slurm, urgent, without
from tests.integration.tiny_sweep import run_command, science, start, states
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

SWEEP = """
name: {name}
settings: {{data: digits, model: mlp, W: 4, blocks: 1, batch: "min(512, n)", lr: 4e-3, steps: {steps}, eval_first: 10,
           eval_per_decade: 4, samples: 12, ddim_steps: 3, loss_pairs: 16, frechet_dims: 3, gallery: 2}}
grid: {{n: [{n}], seed: [{seeds}]}}
resources:
  heartbeat_seconds: 0.5
  checkpoint_seconds: 5
  retry_seconds: 1
  {resources}
"""

TINIEST = """
name: many
settings: {{data: digits, model: mlp, W: 4, blocks: 1, batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2,
           samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: [{seeds}]}}
resources: {{slurm: {{time: "30", runs_per_job: 5}}}}
"""


def write_sweep(
    folder: Path,
    name: str = "site",
    *,
    steps: int = 20,
    n: tuple[int, ...] = (4,),
    seeds: int = 1,
    resources: str = "",
) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        SWEEP.format(
            name=name,
            steps=steps,
            n=", ".join(map(str, n)),
            seeds=", ".join(map(str, range(seeds))),
            resources=resources,
        )
    )
    return path


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_queue() -> Iterator[None]:
    yield
    for child in psutil.Process().children():  # a test that failed may have left one that watches
        child.kill()
    for job in queue():
        slurm("scancel", "--quiet", job)
    wait_for(lambda: not queue(), what="the end of all jobs")


def states_of(sweep: str, store: Path) -> dict[str, str]:
    told = json.loads(run_command("status", sweep, "--json", store=store).stdout)
    return {run["run_id"]: run["state"] for run in told["runs"]}


def succeeded(store: Path) -> int:
    return states(store).get("succeeded", 0)


@pytest.fixture
def whole_cluster() -> Iterator[None]:
    """All daemons run again after the test."""
    yield
    slurm(str(DEV_CLUSTER), "up")


@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("whole_cluster")
def test_a_sweep_survives_preemption_time_limits_requeues_and_the_death_of_a_node(tmp_path: Path) -> None:
    # SLURM asks a job to stop 56 to 80 seconds after its start: longer than a start takes, and shorter than six runs do
    # on all but quick machines.
    limits = 'slurm: {time: "0:02:00", margin_seconds: 40, runs_per_job: 6, cpus: 2}'
    file = write_sweep(tmp_path, "d24", steps=3000, n=(4, 6, 8), seeds=8, resources=limits)
    store = tmp_path / "cluster"
    began = start("submit", file, "--executor", "slurm", "--watch", store=store)
    wait_for(lambda: len(running()) == 4, what="the start of all jobs")
    wait_for(lambda: states(store).get("running", 0) == 4)
    preempted = set(queue("--nodelist=n1", "--states=RUNNING"))
    job = urgent(tmp_path, node="n1", seconds=5)
    wait_for(lambda: not queue(f"--jobs={job}"), what="the end of the urgent job")
    assert all(restarts(job) for job in preempted), "half of the jobs were preempted, and go on"
    wait_for(lambda: len(running()) == 4, what="the start of what was preempted")

    asked = running()[-1]
    before = restarts(asked)
    slurm("scontrol", "requeue", asked)
    wait_for(lambda: restarts(asked) > before, what="the requeue")

    on_n2 = queue("--nodelist=n2", "--states=RUNNING")
    pid = int((Path(os.environ["SLURM_CONF"]).parents[1] / "run" / "n2.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "State=DOWN" in slurm("scontrol", "show", "node", "n2"), what="that n2 is down")
    slurm(str(DEV_CLUSTER), "up")

    output, _ = began.communicate()
    assert began.returncode == 0, output
    undisturbed = start("run", file, store=tmp_path / "local")
    output, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, output
    assert states(store) == {"succeeded": 24}
    assert science(store) == science(tmp_path / "local")
    assert findings(store) == []
    layout = StoreLayout(store)
    ends = Counter(
        read_attempt(run, number).state
        for run in map(layout.run, layout.run_ids())
        for number in run.attempt_numbers()
    )
    logs = [log.read_text() for log in layout.scheduler_files.glob("*_log.out")]
    starts = sum(log.count("Starting with JobEnvironment") for log in logs)
    print(f"{len(logs)} jobs, begun {starts} times; {attempts(store)} attempts, {dict(ends)}; on n2: {on_n2}")
    assert starts - len(logs) >= 4  # two preempted, one requeued, at least one on the node that was lost
    assert ends["preempted"] >= 3


def test_a_run_over_two_nodes_is_the_run_of_two_processes(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, steps=200, n=(8,), resources="processes: 2\n  slurm: {nodes: 2}")
    store = tmp_path / "cluster"
    run_command("submit", file, "--executor", "slurm", "--watch", store=store)
    run_command("run", file, store=tmp_path / "local")
    assert states(store) == {"succeeded": 1}
    assert science(store) == science(tmp_path / "local")
    layout = StoreLayout(store)
    (run_id,) = layout.run_ids()
    job = json.loads(layout.job(layout.job_ids()[0]).read_text())
    told = slurm("scontrol", "show", "job", job["details"]["slurm_id"])
    assert "NodeList=n[1-2]" in told
    assert "NumTasks=2" in told
    assert layout.run(run_id).attempt_numbers() == [1]


def test_without_scontrol_on_the_nodes_a_job_is_followed_by_another(tmp_path: Path) -> None:
    path = without(tmp_path / "bin", "scontrol")
    file = write_sweep(tmp_path, steps=3000, resources=f'slurm: {{setup: ["export PATH={path}"]}}')
    store = tmp_path / "cluster"
    watching = start("submit", file, "--executor", "slurm", "--watch", store=store)
    layout = StoreLayout(store)
    wait_for(lambda: states(store).get("running", 0) == 1)
    run = layout.run(layout.run_ids()[0])
    wait_for(lambda: run_status(run).tau > 3)
    slurm("scancel", "--signal=USR2", *running())  # as SLURM does before the time limit
    output, _ = watching.communicate(timeout=300)
    assert watching.returncode == 0, output
    records = [read_attempt(run, number) for number in run.attempt_numbers()]
    assert [record.state for record in records] == ["preempted", "succeeded"]
    assert records[1].resumed_from_tau == records[0].tau
    assert "continues as" in "".join(log.read_text() for log in layout.scheduler_files.rglob("*.out"))


@pytest.fixture
def room() -> Iterator[int]:
    """So many jobs may be submitted at once, fewer than the site would take otherwise."""
    user = getpass.getuser()
    before = slurm("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=MaxSubmitJobs").split()[0]
    slurm("sacctmgr", "-i", "modify", "user", user, "set", "maxsubmitjobs=10")
    yield 10
    slurm("sacctmgr", "-i", "modify", "user", user, "set", f"maxsubmitjobs={before}")


@pytest.mark.timeout(3600)
def test_many_runs_are_executed_once_each_within_the_site_s_limits(tmp_path: Path, room: int) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(TINIEST.format(seeds=", ".join(map(str, range(60)))))
    store = tmp_path / "runs"
    watching = start("submit", file, "--executor", "slurm", "--watch", store=store)
    layout = StoreLayout(store)
    most = 0
    while watching.poll() is None:
        most = max(most, len(queue("--name=many")))
        time.sleep(2)
    output = watching.communicate()[0]
    assert watching.returncode == 0, output
    assert states(store) == {"succeeded": 60}
    numbers = Counter(tuple(layout.run(run_id).attempt_numbers()) for run_id in layout.run_ids())
    assert numbers == {(1,): 60}
    handles = [json.loads(layout.job(job_id).read_text())["details"] for job_id in layout.job_ids()]
    arrays = Counter(handle["array"] for handle in handles)
    calls = re.findall(r"calls of SLURM: (.*)", output)[-1]
    print(f"{len(handles)} jobs in arrays of {list(arrays.values())}, {most} at most at once; {calls}")
    assert len(handles) == 12
    assert max(arrays.values()) == 8, "MaxArraySize"
    assert most <= room
    assert f"sbatch {len(arrays)}" in calls, "none was rejected, and none was more than needed"


def test_two_submits_at_once_execute_every_run_once(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, seeds=6, resources="slurm: {runs_per_job: 3}")
    store = tmp_path / "runs"
    both = [start("submit", file, "--executor", "slurm", "--watch", store=store) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    layout = StoreLayout(store)
    assert [layout.run(run_id).attempt_numbers() for run_id in layout.run_ids()] == [[1]] * 6
    assert findings(store) == []


def test_status_tells_why_a_job_waits_and_cancel_ends_it(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, steps=100_000, seeds=3, resources="workers: 2")
    store = tmp_path / "cluster"
    run_command("submit", file, "--executor", "slurm", store=store)
    wait_for(lambda: states(store).get("running", 0) == 2)
    told = json.loads(run_command("status", "site", "--json", store=store).stdout)
    words = {run["state"]: run["scheduler_state"] for run in told["runs"]}
    assert words == {"running": "RUNNING", "submitted": "PENDING (JobArrayTaskLimit)"}
    assert "PENDING (JobArrayTaskLimit)" in run_command("status", "site", store=store).stdout
    again = run_command("submit", file, "--executor", "slurm", store=store)
    assert "nothing to submit" in again.stdout
    for run_id, state in states_of("site", store).items():
        done = run_command("logs", run_id, store=store, check=False)
        assert done.returncode == (0 if state == "running" else 2)
        assert "Traceback" not in done.stderr
    run_command("cancel", "site", store=store)
    wait_for(lambda: not queue(), what="the end of the jobs")
    assert set(states_of("site", store).values()) == {"cancelled"}
    layout = StoreLayout(store)
    begun = [layout.run(i) for i in layout.run_ids() if layout.run(i).attempt_numbers()]
    assert len(begun) == 2
    for run in begun:
        assert run.checkpoint_taus(), "what runs is cancelled with a checkpoint"


def test_a_controller_that_does_not_answer_changes_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_sweep(tmp_path, steps=100_000, seeds=2, resources="workers: 1")
    store = tmp_path / "cluster"
    run_command("submit", file, "--executor", "slurm", store=store)
    wait_for(lambda: states(store).get("running", 0) == 1)
    before = states_of("site", store)
    assert sorted(before.values()) == ["running", "submitted"]
    alive = os.environ["SLURM_CONF"]
    configuration = re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=9", Path(alive).read_text())
    (tmp_path / "slurm.conf").write_text(configuration)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    assert states_of("site", store) == before
    for command in (("submit", file, "--executor", "slurm"), ("resume", "site")):
        done = run_command(*command, store=store, check=False)
        assert done.returncode == 1
        assert "Unable to contact slurm controller" in done.stderr
        assert "Traceback" not in done.stderr
    monkeypatch.setenv("SLURM_CONF", alive)
    assert states_of("site", store) == before
    run_command("cancel", "site", store=store)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('slurm: {partition: "secret"}', "invalid partition specified: secret"),
        ('slurm: {account: "nobody"}', "Invalid account or account/partition combination"),
        ('slurm: {qos: "golden"}', "Invalid qos specification"),
        ('slurm: {constraint: "a100"}', "Invalid feature specification"),
        ("slurm: {gpus: 1}", "Invalid generic resource (gres) specification"),
    ],
)
def test_what_sbatch_refuses_is_told_and_nothing_is_submitted(
    tmp_path: Path, options: str, words: str
) -> None:
    file = write_sweep(tmp_path, resources=options)
    store = tmp_path / "runs"
    done = run_command("submit", file, "--executor", "slurm", store=store, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert queue() == []
    assert set(states_of("site", store).values()) == {"pending"}
    assert list(StoreLayout(store).jobs.glob("*.runs")) == []


def test_a_dry_run_shows_the_scripts_and_what_sbatch_says_of_them_and_writes_nothing(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, seeds=7, resources='slurm: {time: "20", runs_per_job: 3}')
    store = tmp_path / "runs"
    command = ("submit", file, "--executor", "slurm", "--profile", "dev-cluster", "--dry-run")
    told = run_command(*command, store=store).stdout
    for words in (
        "#SBATCH --array=0-2%",
        "#SBATCH --partition=main",
        "#SBATCH --time=20",
        "to start at",
        "7 runs in 3 jobs, arrays of 8 at most",
        "more jobs now",
        "core-hours: unknown",
        "Nothing was submitted or written.",
    ):
        assert words in told
    told = run_command(*command, "resources.slurm.partition=secret", store=store).stdout
    assert "invalid partition specified: secret" in told
    assert not store.exists()
    assert queue() == []


def test_a_canary_that_fails_keeps_the_rest_from_being_submitted(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, seeds=3)
    file.write_text(file.read_text().replace("lr: 4e-3", "lr: 1e30, optimizer: sgd"))
    store = tmp_path / "runs"
    done = run_command("submit", file, "--executor", "slurm", "--canary", store=store, check=False)
    assert done.returncode == 1
    assert "canary" in done.stderr
    assert Counter(states_of("site", store).values()) == {"failed": 1, "pending": 2}
    assert queue() == []


def test_jobs_that_end_before_they_begin_a_run_stop_the_watching(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, seeds=3, resources='slurm: {setup: ["echo no such module >&2", "exit 3"]}')
    done = run_command("submit", file, "--executor", "slurm", "--watch", store=tmp_path / "runs", check=False)
    assert done.returncode == 1
    assert "ended as FAILED before it started a run" in done.stderr
    assert "no such module" in done.stderr


def test_the_end_of_a_killed_job_is_told_without_accounting_and_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(without(tmp_path / "bin", "sacct")))
    file = write_sweep(tmp_path, steps=3000)
    store = tmp_path / "runs"
    run_command("submit", file, "--executor", "slurm", store=store)
    wait_for(lambda: states(store).get("running", 0) == 1)
    layout = StoreLayout(store)
    run = layout.run(layout.run_ids()[0])
    os.kill(read_attempt(run, 1).process.pid, signal.SIGKILL)
    wait_for(lambda: not queue(), what="the end of the job")
    run_command("resume", "site", "--watch", store=store)
    records = [read_attempt(run, number) for number in run.attempt_numbers()]
    assert [record.failure for record in records] == ["lost_worker", None]
    assert records[0].scheduler_state == "FAILED"
    told = query(layout, "SELECT scheduler_state FROM attempts WHERE failure IS NOT NULL").to_pylist()
    assert told == [{"scheduler_state": "FAILED"}]
    assert states(store) == {"succeeded": 1}
