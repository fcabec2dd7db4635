"""Sweeps on a real Ray cluster of three nodes: detached, through the loss of a node and of the head, and refused.

`TAUSWEEP_RAY_RUNS` says of how many runs the large sweep is (60 by default, an even number).
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.executors.ray.cluster import client, exposure
from tausweep.orchestrator.plan.plan import make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import InputError
from tausweep.storage.layout import StoreLayout
from tests.integration.tiny_sweep import run_command, science, start, states
from tests.waiting import wait_for

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1500)]

RUNS = int(os.environ.get("TAUSWEEP_RAY_RUNS", "60"))
SWEEP = """
name: raysweep
settings: {{data: digits, model: mlp, W: 4, blocks: 1, batch: "min(512, n)", steps: {steps}, eval_first: {first},
            eval_per_decade: 2, samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{n: {n}, optimizer: [adam, sgd], seed: {seeds}}}
when:
  optimizer=adam: {{lr: 4e-3}}
  optimizer=sgd: {{lr: 0.02, clip: 1}}
resources: {{heartbeat_seconds: {beat}, checkpoint_steps: 100, retry_seconds: 0.5{more}}}
"""


def write(
    folder: Path, *, steps: int, n: str = "[4]", seeds: str = "[0]", beat: float = 0.2, more: str = ""
) -> Path:
    path = folder / "raysweep.yaml"
    path.write_text(SWEEP.format(steps=steps, first=min(20, steps), n=n, seeds=seeds, beat=beat, more=more))
    return path


def executing(layout: StoreLayout) -> dict[str, int]:
    """Run → pid of the process that executes it."""
    found = {}
    for run_id in layout.run_ids():
        record = last_attempt(layout.run(run_id))
        if record is not None and record.state == "running" and record.process.alive():
            found[run_id] = record.process.pid
    return found


def session(node: str) -> int:
    """The session of a node's processes, its workers among them."""
    return int((Path(os.environ["RAY_DEV_CLUSTER"]) / f"{node}.pid").read_text())


def processes(name: str) -> list[psutil.Process]:
    """The cluster's processes that Ray calls by a name."""
    sessions = {session(node) for node in ("head", "n1", "n2")}
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if name in " ".join(process.info["cmdline"] or ()) and os.getsid(process.pid) in sessions
    ]


def on_node(layout: StoreLayout, node: str) -> list[str]:
    """Runs that a node executes."""
    return [run_id for run_id, pid in executing(layout).items() if os.getsid(pid) == session(node)]


def test_a_sweep_that_loses_a_node_has_the_values_of_one_on_this_machine(ray_cluster, tmp_path):
    file = write(tmp_path, steps=1500, n="[4, 6]", seeds="[0, 1, 2, 3]")
    run_command("submit", file, "--executor", "ray", store=tmp_path / "ray")
    layout = StoreLayout(tmp_path / "ray")
    wait_for(lambda: states(tmp_path / "ray").get("succeeded", 0) >= 4)
    wait_for(lambda: any(run_status(layout.run(run)).tau > 150 for run in on_node(layout, "n1")))
    ray_cluster("kill", "n1")
    wait_for(lambda: states(tmp_path / "ray") == {"succeeded": 16}, seconds=900)
    again = [run for run in layout.run_ids() if len(layout.run(run).attempt_numbers()) > 1]
    assert len(again) == 1  # what the node executed, and nothing else
    assert last_attempt(layout.run(again[0])).resumed_from_tau >= 100
    ray_cluster("up")

    run_command("run", file, store=tmp_path / "local")
    assert science(tmp_path / "ray") == science(tmp_path / "local")


def test_a_job_is_followed_cancelled_and_resumed_from_other_shells_also_after_the_head_was_lost(
    ray_cluster, tmp_path
):
    store = tmp_path / "störe, with space"
    layout = StoreLayout(store)
    file = write(tmp_path, steps=100_000, more=", checkpoint_seconds: 1")
    told = run_command("submit", file, "--executor", "ray", store=store).stdout
    assert "raysubmit_" in told
    wait_for(lambda: [run_status(layout.run(run)).tau > 20 for run in executing(layout)] == [True, True])

    rows = json.loads(run_command("status", "raysweep", "--json", store=store).stdout)["runs"]
    assert [row["scheduler_state"] for row in rows] == ["RUNNING"] * 2
    assert "attempt 1" in run_command("logs", rows[0]["run_id"], store=store).stdout

    run_command("cancel", "raysweep", "optimizer=sgd", store=store)
    wait_for(lambda: states(store) == {"running": 1, "cancelled": 1})

    ray_cluster("kill", "head")
    wait_for(lambda: not executing(layout))
    rows = json.loads(run_command("status", "raysweep", "--json", store=store).stdout)["runs"]
    assert [row["scheduler_state"] for row in rows] == [None, None]  # nobody answers; nothing is made of it
    ray_cluster("up")

    run_command("resume", "raysweep", store=store)  # where it was submitted
    wait_for(lambda: len(executing(layout)) == 2)
    wait_for(
        lambda: all(last_attempt(layout.run(run)).resumed_from_tau is not None for run in executing(layout))
    )
    for run_id in layout.run_ids():
        assert last_attempt(layout.run(run_id)).resumed_from_tau >= 20
    run_command("cancel", "raysweep", store=store)
    wait_for(lambda: states(store) == {"cancelled": 2})


def test_cancelling_all_runs_ends_the_job(ray_cluster, tmp_path):
    file = write(tmp_path, steps=100_000)
    run_command("submit", file, "--executor", "ray", store=tmp_path / "store")
    wait_for(lambda: states(tmp_path / "store") == {"running": 2})
    run_command("cancel", "raysweep", store=tmp_path / "store")
    wait_for(lambda: states(tmp_path / "store") == {"cancelled": 2})
    job = json.loads(next((tmp_path / "store" / "jobs").glob("*.json")).read_text())["details"]
    cluster = client(job["dashboard"])
    wait_for(lambda: cluster.get_job_status(job["submission_id"]).is_terminal())


def test_a_watched_job_that_is_stopped_with_runs_left_says_so_and_fails(ray_cluster, tmp_path):
    store = tmp_path / "store"
    watching = start("submit", write(tmp_path, steps=100_000), "--executor", "ray", "--watch", store=store)
    wait_for(lambda: states(store) == {"running": 2})
    (record,) = (store / "jobs").glob("*.json")
    details = json.loads(record.read_text())["details"]
    client(details["dashboard"]).stop_job(details["submission_id"])  # as `ray job stop` does
    output, _ = watching.communicate(timeout=300)
    assert watching.returncode == 1  # a RayJob of Kubernetes is begun again then
    assert "2 runs are left" in output
    assert "tausweep resume raysweep" in output
    assert states(store) == {"preempted": 2}


def test_two_ranks_through_ray_train_compute_what_two_ranks_of_one_worker_do(ray_cluster, tmp_path):
    file = write(tmp_path, steps=40, more=", processes: 2, workers: 1")
    run_command("submit", file, "--executor", "ray", store=tmp_path / "ray")
    wait_for(lambda: states(tmp_path / "ray") == {"succeeded": 2}, seconds=600)
    run_command("run", file, store=tmp_path / "local")
    assert science(tmp_path / "ray") == science(tmp_path / "local")


def test_ranks_of_ray_train_save_a_checkpoint_when_the_job_is_cancelled(ray_cluster, tmp_path):
    from tausweep.orchestrator.executors.job_records import given_jobs
    from tausweep.orchestrator.executors.ray.executor import RayExecutor

    store = tmp_path / "store"
    layout = StoreLayout(store)
    run_command(
        "submit",
        write(tmp_path, steps=100_000, more=", processes: 2, workers: 1"),
        "--executor",
        "ray",
        store=store,
    )
    wait_for(lambda: any(run_status(layout.run(run)).tau > 5 for run in executing(layout)))
    handles = [job.handle for job in given_jobs("raysweep", layout)]
    executor = RayExecutor()
    (sign,) = processes("ray::StopSign")
    sign.suspend()  # as on a machine that is busy: the word takes long to come to the ranks
    executor.cancel(handles)
    time.sleep(8)
    sign.resume()
    wait_for(lambda: executor.alive(handles) == [False])
    (run,) = [layout.run(run) for run in layout.run_ids() if layout.run(run).attempt_numbers()]
    assert run_status(run).state == "preempted"
    assert run.checkpoint_taus()[-1] == run_status(run).tau


def test_a_killed_rank_of_ray_train_costs_only_what_came_after_the_checkpoint(ray_cluster, tmp_path):
    store = tmp_path / "store"
    layout = StoreLayout(store)
    file = write(tmp_path, steps=2000, more=", processes: 2, workers: 1")
    run_command("submit", file, "optimizer=sgd", "--executor", "ray", store=store)
    (run,) = [layout.run(run_id) for run_id in layout.run_ids()]
    wait_for(lambda: run_status(run).tau > 150)
    leader = last_attempt(run).process.pid
    (other,) = [rank for rank in processes("RayTrainWorker") if rank.pid != leader]
    other.kill()
    wait_for(lambda: states(store) == {"succeeded": 1}, seconds=600)
    assert last_attempt(run).attempt > 1
    assert last_attempt(run).resumed_from_tau >= 100


def test_nodes_that_lack_a_package_end_the_job_and_fail_no_run(ray_cluster, tmp_path, monkeypatch):
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no torch on this node')\n")
    file = write(tmp_path, steps=2, seeds="[0, 1]", more=", ray: {environment: [PYTHONPATH]}")
    store = tmp_path / "store"
    plan = make_plan(read_sweep(file), StoreLayout(store))  # counts parameters, with a torch that works
    prepare(plan, StoreLayout(store))
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    run_command("submit", file, "--executor", "ray", store=store)

    def told():
        return "".join(log.read_text() for log in (store / "jobs").glob("*.log"))

    wait_for(lambda: "tasks end before they begin a run" in told())
    assert "no torch on this node" in told()
    assert states(store) == {"pending": 4}


def test_torch_is_loaded_once_for_many_runs(ray_cluster, tmp_path):
    store = tmp_path / "store"
    run_command(
        "submit", write(tmp_path, steps=2, seeds=str(list(range(6)))), "--executor", "ray", store=store
    )
    wait_for(lambda: states(store) == {"succeeded": 12})
    layout = StoreLayout(store)
    pids = {last_attempt(layout.run(run)).process.pid for run in layout.run_ids()}
    assert len(pids) <= 3 + 1  # as many as there are cores; Ray may replace one that it took for idle


def test_a_sweep_whose_store_is_on_an_object_store_has_the_values_of_a_local_one(
    ray_cluster, s3_store, tmp_path
):
    names = "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION"
    # The test server answers some hundred requests a second, so: two runs, and few heartbeats.
    file = write(tmp_path, steps=20, beat=1, more=f", ray: {{environment: [{names}]}}")
    run_command("submit", file, "--executor", "ray", "--watch", store=s3_store.root)
    assert states(s3_store.root) == {"succeeded": 2}
    run_command("run", file, store=tmp_path / "local")
    assert science(s3_store.root) == science(tmp_path / "local")


def test_many_runs_are_executed_once_each_and_the_driver_stays_small(ray_cluster, tmp_path):
    store = tmp_path / "store"
    layout = StoreLayout(store)
    file = write(tmp_path, steps=2, seeds=str(list(range(RUNS // 2))))
    run_command("submit", file, "--executor", "ray", store=store)

    def told():
        return "".join(log.read_text() for log in layout.jobs.glob("*.log"))

    wait_for(lambda: "ended with 0" in told(), seconds=1200)
    assert states(store) == {"succeeded": RUNS}
    assert [run for run in layout.run_ids() if layout.run(run).attempt_numbers() != [1]] == []
    peak, before = map(int, re.findall(r"the driver took (\d+) MB, (\d+) MB before", told())[0])
    print(f"driver: {peak} MB, {before} MB before the first run")
    assert peak < 2 * before  # docs/ray.md has what it was for 2,000 runs


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ("ray: {gpus: 1}", "ray.gpus = 1"),
        ("threads: 64", "threads = 64"),
        ("ray: {memory: 900T}", "ray.memory = '900T'"),
        ("ray: {custom: {unobtainium: 1}}", "ray.custom.unobtainium = 1"),
        ("processes: 50", "processes = 50"),
    ],
)
def test_what_the_cluster_has_not_is_refused_with_what_it_has(ray_cluster, tmp_path, resources, field):
    file = write(tmp_path, steps=2, more=f", {resources}")
    done = run_command("submit", file, "--executor", "ray", store=tmp_path / "store", check=False)
    assert done.returncode == 2
    assert field in done.stderr
    assert "127.0.0.3 (CPU 1, memory" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_what_may_come_later_is_not_refused_and_waits_in_ray(ray_cluster, tmp_path):
    from tausweep.orchestrator.executors.job_records import cancel_jobs

    store = tmp_path / "store"
    file = write(tmp_path, steps=2, more=", ray: {gpus: 1, fit: later}")
    run_command("submit", file, "--executor", "ray", store=store)
    rows = json.loads(run_command("status", "raysweep", "--json", store=store).stdout)["runs"]
    assert [row["state"] for row in rows] == ["submitted", "submitted"]
    run_command("cancel", "raysweep", store=store)
    cancel_jobs("raysweep", StoreLayout(store))


def test_a_node_with_another_store_says_so_and_nothing_is_marked_failed(ray_cluster, tmp_path):
    store = tmp_path / "store"
    layout = StoreLayout(store)
    plan = make_plan(read_sweep(write(tmp_path, steps=2)), layout)
    prepare(plan, layout)
    from tausweep.orchestrator.executors.ray.task import execute

    with pytest.raises(FileNotFoundError, match="this node does not see the store"):
        execute([str(tmp_path / "elsewhere" / "runs" / plan.runs[0].run_id)], [])


def test_a_cluster_on_loopback_or_with_a_token_gives_no_warning(ray_cluster):
    assert exposure(client(None)) is None


def test_without_its_token_the_cluster_is_no_cluster_for_us(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", client_url())
    done = run_command(
        "submit", write(tmp_path, steps=2), "--executor", "ray", store=tmp_path / "s", check=False
    )
    assert done.returncode == 2
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr


def client_url() -> str:
    host, port = os.environ["RAY_ADDRESS"].split(":")
    return f"http://{host}:{int(port) + 1}"


@pytest.mark.parametrize("form", ["http", "ray", "host", "auto"])
def test_a_cluster_is_found_by_every_form_of_its_address(ray_cluster, monkeypatch, form):
    host, port = os.environ["RAY_ADDRESS"].split(":")
    addresses = {
        "http": client_url(),
        "ray": f"ray://{host}:{int(port) + 2}",
        "host": f"{host}:{port}",
        "auto": "auto",
    }
    url = client_url()
    if form != "auto":  # what is given wins over the environment, which Ray alone would not let happen
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.9:9")
    assert reached(addresses[form]).get_address() == url


def reached(address: str, tries: int = 3) -> JobSubmissionClient:
    """A client; Ray gives the server of a ray:// address 30 seconds to start, which a busy machine may exceed."""
    try:
        return client(address)
    except InputError as error:
        if tries == 1 or "Starting Ray client server failed" not in str(error):
            raise
        return reached(address, tries - 1)


def test_no_cluster_is_one_message(tmp_path):
    file = write(tmp_path, steps=2)
    arguments = ("submit", file, "--executor", "ray", "--address", "http://127.0.0.9:9")
    done = run_command(*arguments, store=tmp_path / "store", check=False)
    assert done.returncode == 2
    assert "no Ray cluster answers at http://127.0.0.9:9" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()
