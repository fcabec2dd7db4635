"""One worker in this process: claims, records, logs and what it does when told to stop."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.images import digits, fingerprint_digits
from jobs.spec import RunSpec
from storage.atomic import publish, write_record
from storage.attempts import read_attempt, read_claim, run_status
from storage.layout import RunDirectory, StoreLayout
from storage.scan import read_table
from tests.unit.jobs.test_training import TINY
from workers.execute import WorkerOptions, execute, work
from workers.inputs import open_spec
from workers.stop import StopFlag

OPTIONS = WorkerOptions(device=torch.device("cpu"), heartbeat_seconds=0.05, checkpoint_seconds=0.2)


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
    execute(run, StopFlag(), OPTIONS)
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
    execute(run, StopFlag(), OPTIONS)
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
    execute(run, StopFlag(), OPTIONS)
    assert "IdentityError" in str(run_status(run).error)
    assert not list(run.path.glob("metrics/*"))


def test_a_stop_leaves_a_checkpoint_and_the_next_attempt_goes_on_from_it(layout: StoreLayout) -> None:
    run = prepare(layout, steps=400, eval_first=100, eval_per_decade=2)
    stop = StopFlag()

    def stop_once_it_trains() -> None:
        while (claim := read_claim(run)) is None or not claim.tau:
            time.sleep(0.01)
        stop.stop_worker()

    threading.Thread(target=stop_once_it_trains, daemon=True).start()
    assert not work([run], stop, OPTIONS)
    first = read_attempt(run, 1)
    assert first.state == "preempted"
    assert first.tau is not None
    assert 0 < first.tau < 400
    assert run.checkpoint_taus()[-1] == first.tau
    assert work([run], StopFlag(), OPTIONS)
    second = read_attempt(run, 2)
    assert (second.state, second.resumed_from_tau) == ("succeeded", first.tau)
    assert set(read_table(layout, "metrics", [run.run_id])["tau"].to_pylist()) == set(open_spec(run).taus)


def test_a_cancelled_run_stops_and_is_not_begun_again(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)
    threading.Timer(1.0, lambda: publish(run.cancel, lambda file: file.write(b""))).start()
    assert work([run], StopFlag(), OPTIONS)
    assert read_attempt(run, 1).state == "cancelled"
    assert work([run], StopFlag(), OPTIONS)
    assert run.attempt_numbers() == [1]


def test_a_worker_that_lost_its_claim_writes_nothing_more(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)

    def take_over() -> None:
        record = read_attempt(run, 1)
        write_record(run.attempt(2), record.model_copy(update={"attempt": 2}).model_dump(mode="json"))

    threading.Timer(1.0, take_over).start()
    execute(run, StopFlag(), OPTIONS)
    assert read_attempt(run, 1).state == "running", "its end is for the one who took over to write"
    assert not list(run.path.glob("metrics/*"))


def test_the_heartbeat_tells_tau_and_speed(layout: StoreLayout) -> None:
    run = prepare(layout, steps=4000, eval_first=4000)
    stop = StopFlag()
    thread = threading.Thread(target=execute, args=(run, stop, OPTIONS))
    thread.start()
    deadline = time.monotonic() + 30
    while (claim := read_claim(run)) is None or not claim.tau or claim.steps_per_second is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run_status(run).state == "running"
    assert run_status(run).tau >= claim.tau
    stop.stop_worker()
    thread.join()
