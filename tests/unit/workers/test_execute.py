"""One worker in this process: claims, records, logs and what it does when told to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tausweep.jobs.data.digits import digits
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.fingerprints import fingerprint_digits
from tausweep.storage.attempts.records import last_attempt, read_attempt, read_claim, write_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.tables.scan import read_table
from tausweep.workers.execute import execute, work
from tausweep.workers.inputs import open_spec
from tausweep.workers.options import WorkerOptions
from tausweep.workers.stop import StopFlag
from tests.unit.jobs.training.test_loop import TINY

CPU = torch.device("cpu")
OPTIONS = WorkerOptions(heartbeat_seconds=0.05, checkpoint_seconds=0.2)


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    store = StoreLayout(tmp_path / "a store")
    publish(store.images(fingerprint_digits()), lambda file: np.save(file, digits()))
    return store


def prepare(layout: StoreLayout, **changes: Any) -> RunDirectory:
    spec = RunSpec.from_settings({**TINY, "fingerprint": fingerprint_digits(), **changes})
    run = layout.run(spec.run_id)
    write_record(run.spec, {"run_id": run.run_id, "p": 1, "settings": spec.settings()})
    return run


def test_a_run_ends_with_a_record_a_log_a_checkpoint_and_no_claim(layout: StoreLayout) -> None:
    run = prepare(layout)
    execute(run, StopFlag(), OPTIONS, CPU)
    record = read_attempt(run, 1)
    assert (record.state, record.tau, record.resumed_from_tau) == ("succeeded", 24, 0)
    assert record.ended is not None
    assert record.ended > record.started
    assert read_claim(run) is None
    assert run.checkpoint_taus()[-1] == 24
    assert "succeeded at tau = 24" in run.log(1).read_text()


def test_provenance_is_there_before_step_0(layout: StoreLayout) -> None:
    run = prepare(layout)
    record = json.loads(_first_record(run))
    assert {"torch_version", "diffusers_version", "device", "threads", "platform"} <= set(
        record["provenance"]
    )


def _first_record(run: RunDirectory) -> str:
    """The record as it was when the images turned out to be missing: before the first step."""
    run.store.images(fingerprint_digits()).unlink()
    execute(run, StopFlag(), OPTIONS, CPU)
    return run.attempt(1).read_text()


def test_missing_images_fail_the_run_and_say_what_to_do(layout: StoreLayout) -> None:
    run = prepare(layout)
    _first_record(run)
    status = run_status(run)
    assert (status.state, status.failure) == ("failed", "bad_data")
    assert "submit or resume the sweep again" in str(status.error)


def test_a_changed_spec_is_refused(layout: StoreLayout) -> None:
    run = prepare(layout)
    content = json.loads(run.spec.read_text())
    content["settings"]["lr"] = 0.5
    run.spec.write_text(json.dumps(content))
    execute(run, StopFlag(), OPTIONS, CPU)
    assert "IdentityError" in str(run_status(run).error)
    assert not list(run.path.glob("metrics/*"))


def test_a_stop_leaves_a_checkpoint_and_the_next_attempt_goes_on_from_it(layout: StoreLayout) -> None:
    run = prepare(layout, steps=100, eval_first=25, eval_per_decade=2)
    stop = StopFlag()

    def stop_once_it_trains() -> None:
        while (claim := read_claim(run)) is None or not claim.tau:
            time.sleep(0.01)
        stop.stop_worker()

    threading.Thread(target=stop_once_it_trains, daemon=True).start()
    assert not work([run], stop, OPTIONS, CPU)
    first = read_attempt(run, 1)
    assert first.state == "preempted"
    assert first.tau is not None
    assert 0 < first.tau < 100
    assert run.checkpoint_taus()[-1] == first.tau
    assert work([run], StopFlag(), OPTIONS, CPU)
    second = read_attempt(run, 2)
    assert (second.state, second.resumed_from_tau) == ("succeeded", first.tau)
    assert set(read_table(layout, "metrics", [run.run_id])["tau"].to_pylist()) == set(open_spec(run).taus)


def test_a_worker_whose_time_is_over_does_a_step_and_leaves_the_rest(layout: StoreLayout) -> None:
    first, second = prepare(layout), prepare(layout, seed=1)
    assert not work([first, second], StopFlag(wall_seconds=0.001), OPTIONS, CPU)
    record = read_attempt(first, 1)
    assert (record.state, record.tau, first.checkpoint_taus()) == ("preempted", 1, [1])
    assert second.attempt_numbers() == []


def test_a_second_sigint_quits_at_once_and_the_run_goes_on_later(layout: StoreLayout) -> None:
    run = prepare(layout, steps=2, eval_first=1, samples=2000, ddim_steps=40)
    stop = StopFlag()
    before = signal.getsignal(signal.SIGINT)
    stop.install()

    def interrupt_twice() -> None:
        while (attempt := last_attempt(run)) is None or attempt.resumed_from_tau is None:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        while stop.reason is None:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_twice, daemon=True).start()
    try:
        assert not work([run], stop, OPTIONS, CPU)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, before if number == signal.SIGINT else signal.SIG_DFL)
    assert read_attempt(run, 1).state == "preempted"
    assert (run.checkpoint_taus(), run.parts("metrics")) == ([], [])
    assert not [path for path in run.files() if path.suffix == ".tmp"]
    assert run_status(run).claimable


def test_checkpoints_by_steps_and_those_to_keep_are_there_at_the_end(layout: StoreLayout) -> None:
    run = prepare(layout, steps=24)
    options = WorkerOptions(checkpoint_seconds=None, checkpoint_steps=5, keep_checkpoints=(3, 7))
    execute(run, StopFlag(), options, CPU)
    # Saved at 3, 7, 12, 17, 22 and 24: an interval begins at the last checkpoint, whatever it was for.
    assert run.checkpoint_taus() == [3, 7, 22, 24]


def test_the_cost_of_checkpoints_is_in_the_record_and_in_the_log(layout: StoreLayout) -> None:
    run = prepare(layout)
    execute(run, StopFlag(), OPTIONS, CPU)
    record = read_attempt(run, 1)
    assert record.saving_seconds is not None
    assert record.ended is not None
    assert 0 < record.saving_seconds < record.ended - record.started
    assert re.search(r"^\d+ checkpoints saved in \d+\.\d\d s, \d+\.\d\d% of ", run.log(1).read_text(), re.M)


@pytest.mark.parametrize("bad", [1, 2], ids=["the newest", "both"])
def test_damaged_checkpoints_are_passed_over_and_recorded_and_the_result_is_the_same(
    layout: StoreLayout, bad: int
) -> None:
    run = prepare(layout)
    options = WorkerOptions(checkpoint_seconds=None, checkpoint_steps=10)
    execute(run, StopFlag(), options, CPU)
    assert run.checkpoint_taus() == [20, 24]
    undisturbed = read_table(layout, "metrics").drop_columns(["attempt", "wall_time"])
    damaged = [24, 20][:bad]
    for tau in damaged:
        run.checkpoint(tau).write_bytes(b"damaged")
    write_attempt(run, read_attempt(run, 1).model_copy(update={"state": "preempted"}))
    execute(run, StopFlag(), OPTIONS, CPU)
    again = read_attempt(run, 2)
    assert (again.state, again.resumed_from_tau) == ("succeeded", 20 if bad == 1 else 0)
    assert again.damaged_checkpoints == tuple(damaged)
    assert ("starts again from tau = 0" in run.log(2).read_text()) == (bad == 2)
    assert read_table(layout, "metrics").drop_columns(["attempt", "wall_time"]).equals(undisturbed)


SMALL_MEMORY = """
import resource, sys
import psutil
import tausweep.jobs.models.unet, tausweep.workers.execute
from tausweep.workers.__main__ import main
limit = psutil.Process().memory_info().vms + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main([sys.argv[1], "--device", "cpu"]))
"""


@pytest.mark.slow
def test_a_run_that_needs_more_memory_than_there_is_fails_as_out_of_memory_and_is_not_tried_again(
    layout: StoreLayout,
) -> None:
    run = prepare(layout, n=1000, batch="n", W=64)
    done = subprocess.run([sys.executable, "-c", SMALL_MEMORY, str(run.path)], check=False)
    assert done.returncode == 0, "the worker goes on with other runs"
    status = run_status(run)
    assert (status.state, status.failure, status.attempt) == ("failed", "out_of_memory", 1)
    assert not status.waiting


def test_a_cancelled_run_stops_and_is_not_begun_again(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)
    threading.Timer(1.0, lambda: publish(run.cancel, lambda file: file.write(b""))).start()
    assert work([run], StopFlag(), OPTIONS, CPU)
    assert read_attempt(run, 1).state == "cancelled"
    assert work([run], StopFlag(), OPTIONS, CPU)
    assert run.attempt_numbers() == [1]


def test_a_worker_that_lost_its_claim_writes_nothing_more(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)

    def take_over() -> None:
        record = read_attempt(run, 1)
        write_record(run.attempt(2), record.model_copy(update={"attempt": 2}).model_dump(mode="json"))

    threading.Timer(1.0, take_over).start()
    execute(run, StopFlag(), OPTIONS, CPU)
    assert read_attempt(run, 1).state == "running", "its end is for the one who took over to write"
    assert not list(run.path.glob("metrics/*"))


def test_the_heartbeat_tells_tau_and_speed(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)
    stop = StopFlag()
    thread = threading.Thread(target=execute, args=(run, stop, OPTIONS, CPU))
    thread.start()
    deadline = time.monotonic() + 30
    while (claim := read_claim(run)) is None or not claim.tau or claim.steps_per_second is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run_status(run).state == "running"
    assert run_status(run).tau >= claim.tau
    stop.stop_worker()
    thread.join()


def test_a_worker_merges_the_parts_of_what_it_has_finished(
    layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tausweep.workers.execute.MERGED_RUNS", 2)
    runs = [prepare(layout, seed=seed) for seed in range(3)]
    assert work(runs, StopFlag(), OPTIONS, CPU)
    assert [bool(run.parts("metrics")) for run in runs] == [False, False, True]
    assert len(layout.merged_files("metrics")) == 1
    assert len({row["run_id"] for row in read_table(layout, "metrics").to_pylist()}) == 3


def test_parts_that_can_not_be_merged_stay_and_the_worker_goes_on(
    layout: StoreLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tausweep.workers.execute.MERGED_RUNS", 1)
    foreign = layout.merged("metrics", "0" * 20)
    publish(foreign, lambda file: file.write(b"not Parquet"))
    runs = [prepare(layout, seed=seed) for seed in range(2)]
    assert work(runs, StopFlag(), OPTIONS, CPU)
    assert all(run.parts("metrics") for run in runs)
    assert f"could not merge the parts of finished runs: {foreign}" in capsys.readouterr().out
