"""The whole, as a user meets it: real sweeps of real trainings in real processes."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import time
from pathlib import Path

import duckdb
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from tausweep.storage.attempts.records import read_claim
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.sql import query
from tests.integration.tiny_sweep import run_command, science, start, states, write_sweep
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


FEW = "n=4"  # a run of either optimizer
LONG = 1000


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny sweep ran without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_command("run", write_sweep(folder), store=folder / "runs")
    return folder / "runs"


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of its runs with so many steps that there is time to disturb them."""
    folder = tmp_path_factory.mktemp("long")
    run_command("run", write_sweep(folder, steps=LONG), FEW, store=folder / "runs")
    return folder / "runs"


@pytest.fixture(params=["1", "0"], ids=["forked", "fresh"])
def forking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of this machine be forked, or each be started as a process of its own."""
    monkeypatch.setenv("TAUSWEEP_FORK", request.param)


def training(store: Path) -> list[psutil.Process]:
    """Worker processes that are past their first steps of a run of this store."""
    layout = StoreLayout(store)
    claims = [claim for i in layout.run_ids() if (claim := read_claim(layout.run(i))) is not None]
    pids = {claim.process.pid for claim in claims if claim.tau > 3}
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def test_a_sweep_runs_to_its_end_and_a_second_run_does_nothing(undisturbed: Path, tmp_path: Path) -> None:
    assert states(undisturbed) == {"succeeded": 4}
    before = sorted(undisturbed.rglob("*"))
    started = time.monotonic()
    done = run_command("run", write_sweep(tmp_path), store=undisturbed)
    print(f"second run: {time.monotonic() - started:.2f} s")
    assert "4 succeeded" in done.stdout
    assert sorted(undisturbed.rglob("*")) == before


@pytest.mark.usefixtures("forking")
def test_two_stores_of_one_sweep_are_bit_equal(undisturbed: Path, tmp_path: Path) -> None:
    run_command("run", write_sweep(tmp_path), "n=4", "resources.workers=1", store=tmp_path / "again")
    again = science(tmp_path / "again")
    ids = {row["run_id"] for row in again["metrics"]}
    assert len(ids) == 2
    whole = science(undisturbed)
    for table, rows in again.items():
        assert rows == [row for row in whole[table] if row["run_id"] in ids]


def test_adding_an_n_trains_only_the_new_runs(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "grown"
    run_command("run", write_sweep(tmp_path), "n=4", store=store)
    first = query(
        StoreLayout(store), "SELECT run_id, attempt, ended FROM attempts ORDER BY run_id"
    ).to_pylist()
    run_command("run", write_sweep(tmp_path), store=store)
    rows = query(
        StoreLayout(store), "SELECT run_id, attempt, ended FROM attempts ORDER BY run_id"
    ).to_pylist()
    assert len(rows) == 4
    assert all(row in rows for row in first)
    assert science(store) == science(undisturbed)


def test_the_parts_open_in_plain_pyarrow_pandas_and_duckdb(undisturbed: Path) -> None:
    for table in ("metrics", "neighbours", "samples"):
        files = sorted(undisturbed.glob(f"runs/*/{table}/*.parquet"))
        plain = pq.read_table(files[0])
        assert plain.num_rows == len(pd.read_parquet(files[0])) > 0
        # A connection of its own: one that is shared stays in use until a result is read to its end.
        with duckdb.connect() as connection:
            pattern = f"{undisturbed}/runs/*/{table}/*.parquet"
            counted = connection.execute(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchall()
        assert counted == [(sum(pq.read_metadata(f).num_rows for f in files),)]


@pytest.mark.usefixtures("forking")
def test_kill_9_of_a_worker_costs_a_try_and_the_sweep_is_completed(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    process = start("run", write_sweep(tmp_path, steps=LONG), FEW, store=store)
    wait_for(lambda: bool(training(store)))
    training(store)[0].kill()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert science(store) == science(long_undisturbed)
    lost = "SELECT attempt, state FROM attempts WHERE failure = 'lost_worker'"
    assert query(StoreLayout(store), lost).to_pylist() == [{"attempt": 1, "state": "failed"}]


def test_a_run_that_loses_its_last_try_has_failed_until_somebody_asks_for_it(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    file = write_sweep(tmp_path, steps=LONG)
    process = start("run", file, FEW, "resources.max_attempts=1", store=store)
    wait_for(lambda: bool(training(store)))
    training(store)[0].kill()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert states(store) == {"succeeded": 1, "failed": 1}, output
    assert "lost_worker" in run_command("status", "tiny", store=store).stdout
    told = run_command("logs", "tiny", "--failed", store=store).stdout
    assert "1 × lost_worker: " in told
    assert "OOM killer" in told
    run_command("run", file, FEW, store=store, check=False)
    assert states(store) == {"succeeded": 1, "failed": 1}, "run does not take a failed run up again"
    run_command("resume", "tiny", store=store)
    assert science(store) == science(long_undisturbed)


@pytest.mark.usefixtures("forking")
def test_workers_with_a_time_budget_are_started_again_until_all_is_done(tmp_path: Path) -> None:
    """A budget that is over at once leaves each worker one step."""
    store = tmp_path / "runs"
    file = write_sweep(tmp_path, steps=3)
    only = ("n=4", "optimizer=sgd", "lr=0.01", "eval_first=1", "resources.wall_seconds=0.001")
    run_command("run", file, *only, store=store)
    assert states(store) == {"succeeded": 1}
    tries = query(
        StoreLayout(store), "SELECT state, resumed_from_tau, tau FROM attempts ORDER BY attempt"
    ).to_pylist()
    assert [tuple(row.values()) for row in tries] == [
        ("preempted", 0, 1),
        ("preempted", 1, 2),
        ("succeeded", 2, 3),
    ]


@pytest.mark.usefixtures("forking")
def test_kill_9_of_the_orchestrator_then_resume_completes_the_sweep(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    process = start("run", write_sweep(tmp_path, steps=LONG), FEW, store=store)
    wait_for(lambda: bool(training(store)))
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers), "workers end with who started them"
    run_command("resume", "tiny", store=store)
    assert states(store) == {"succeeded": 2}
    assert science(store) == science(long_undisturbed)


def test_kill_9_of_the_process_that_forks_workers_costs_no_try(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    process = start("run", write_sweep(tmp_path, steps=LONG), FEW, store=store)
    wait_for(lambda: bool(training(store)))
    (server,) = psutil.Process(process.pid).children()
    server.kill()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert science(store) == science(long_undisturbed)
    ends = query(StoreLayout(store), "SELECT DISTINCT state FROM attempts ORDER BY state").to_pylist()
    assert [row["state"] for row in ends] == ["preempted", "succeeded"]


def test_workers_with_two_threads_are_bit_equal_forked_or_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = []
    for way in ("1", "0"):
        monkeypatch.setenv("TAUSWEEP_FORK", way)
        stores.append(tmp_path / way)
        wide = ("n=4", "W=64", "resources.threads=2", "resources.workers=1")
        run_command("run", write_sweep(tmp_path), *wide, store=stores[-1])
    assert science(stores[0]) == science(stores[1])


@pytest.mark.usefixtures("forking")
def test_ctrl_c_leaves_a_sweep_that_the_same_command_continues(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    file = write_sweep(tmp_path, steps=LONG)
    process = start("run", file, FEW, store=store)
    wait_for(lambda: bool(training(store)))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    command = ["tausweep", "run", str(file), FEW, "--store", str(store)]
    assert f"continue with: {shlex.join(command)}" in output
    assert "Traceback" not in output
    assert states(store).get("preempted", 0) >= 1
    run_command("run", file, FEW, store=store)
    assert science(store) == science(long_undisturbed)


def test_ctrl_c_while_torch_is_loaded_begins_no_run(tmp_path: Path) -> None:
    process = start("run", write_sweep(tmp_path, steps=LONG), FEW, store=tmp_path / "runs")
    loading = psutil.Process(process.pid)
    wait_for(lambda: any("tausweep.workers.fork_server" in child.cmdline() for child in loading.children()))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert states(tmp_path / "runs") == {"pending": 2}


def test_cancel_stops_running_and_waiting_runs_and_resume_takes_them_up(
    long_undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    process = start("run", write_sweep(tmp_path, steps=LONG), FEW, "resources.workers=1", store=store)
    wait_for(lambda: bool(training(store)))
    (worker,) = training(store)
    worker.suspend()  # on a busy machine the run would be over before the command has started
    run_command("cancel", "tiny", store=store)
    worker.resume()
    process.communicate(timeout=200)
    assert states(store) == {"cancelled": 2}
    run_command("run", write_sweep(tmp_path, steps=LONG), FEW, store=store)
    assert states(store) == {"cancelled": 2}
    run_command("resume", "tiny", store=store)
    assert science(store) == science(long_undisturbed)


def test_a_run_that_diverges_fails_alone_and_reruns_only_when_asked(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    file = write_sweep(tmp_path)
    done = run_command("run", file, "lr=4e-3,1e30", "optimizer=sgd", "n=4", store=store, check=False)
    assert done.returncode == 1
    assert states(store) == {"succeeded": 1, "failed": 1}
    failures = json.loads(run_command("logs", "tiny", "--failed", "--json", store=store).stdout)
    assert [(group["failure"], len(group["run_ids"])) for group in failures] == [("not_finite", 1)]
    assert "NotFiniteError" in failures[0]["error"]
    bad = [row for row in science(store)["metrics"] if row["run_id"] in failures[0]["run_ids"]]
    assert bad == []
    run_command("resume", "tiny", store=store, check=False)
    assert query(StoreLayout(store), "SELECT max(attempt) AS k FROM attempts").to_pylist() == [{"k": 1}]
    run_command("resume", "tiny", "--failed", store=store, check=False)
    assert query(StoreLayout(store), "SELECT max(attempt) AS k FROM attempts").to_pylist() == [{"k": 2}]


def test_submit_returns_at_once_and_the_sweep_runs_in_the_background(
    undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs"
    done = run_command("submit", write_sweep(tmp_path), store=store)
    assert "4 runs submitted" in done.stdout
    wait_for(lambda: states(store) == {"succeeded": 4}, seconds=200)
    assert science(store) == science(undisturbed)


def test_a_spec_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    file = write_sweep(tmp_path)
    plan = json.loads(run_command("plan", file, "n=4", "optimizer=adam", "--json", store=store).stdout)
    assert not store.exists(), "plan writes nothing"
    assert len(plan["runs"]) == 1
    run_command("run", file, "n=4", "optimizer=adam", "seed=0", store=store)
    layout = StoreLayout(store)
    run = layout.run(layout.run_ids()[0])
    record = read_record(run.spec)
    record["settings"]["lr"] = 0.5
    write_record(run.spec, record)
    run.attempt(1).unlink()
    done = run_command("resume", "tiny", store=store, check=False)
    assert done.returncode == 1
    assert f"run {run.run_id}: the settings in its spec.json hash to" in done.stderr
    assert states(store) == {"pending": 1}


def test_resolve_and_figures_read_what_was_run(undisturbed: Path, tmp_path: Path) -> None:
    result = json.loads(run_command("resolve", "tiny", "--json", store=undisturbed).stdout)
    keys = {"criterion", "W", "optimizer", "p", "exponent", "prefactor", "n_points", "n_censored"}
    assert keys <= set(result["fits"][0])
    assert set(result["fits"][0]["exponent"]) == {"estimate", "low", "high"}
    assert {"n", "p", "state", "tau_mem"} <= set(result["phase_diagram"][0])
    done = run_command("figures", "tiny", "--format", "svg", "--out", tmp_path / "figures", store=undisturbed)
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == [
        "collapse.svg", "f_mem_vs_tau.svg", "losses.svg", "phase_diagram.svg", "samples.svg", "tau_vs_n.svg",
    ]  # fmt: skip
    assert str(tmp_path / "figures" / "collapse.svg") in done.stdout


def test_refine_trains_what_it_proposes_and_stops_what_is_answered(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    shutil.copytree(undisturbed, store)
    child = tmp_path / "child.yaml"
    criterion = ("--criterion", "loss_gap=0.0001@t150")  # reached at once by some: the run is stopped
    done = run_command("refine", "tiny", "optimizer=adam", "--runs", "2", "--auto", "--batch", "2", "--early-stop",
                    "--width", "1.01", "--out", child, *criterion, store=store)  # fmt: skip
    assert "Most informative runs" in done.stdout
    assert sum(states(store).values()) == 6
    assert set(states(store)) <= {"succeeded", "cancelled"}
    result = json.loads(run_command("resolve", "child", "--json", store=store).stdout)
    assert len(result["runs"]) == 6
