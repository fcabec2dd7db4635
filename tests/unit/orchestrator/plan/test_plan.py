"""The plan: the grid minus what the store has, from files alone."""

from __future__ import annotations

import os
import time

import pytest

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.execution.run_states import cancel, todo
from tausweep.orchestrator.plan.plan import Plan, make_plan, stored_plan, with_jobs
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.attempts.records import STATES, Process
from tausweep.storage.errors import DataError, IdentityError, SchemaError
from tausweep.storage.files.records import read_record, write_record
from tausweep.workers.inputs import open_spec
from tests.unit.orchestrator.finished_store import (
    SWEEP,
    begin,
    end,
    fail,
    finish,
    lose,
    parameter_count,
    prepared,
    write_sweep,
)


@pytest.fixture
def file(tmp_path):
    return write_sweep(tmp_path)


@pytest.fixture
def plan(file, store):
    """Eight runs that are prepared, none begun."""
    return prepared(file, store)


def states(plan: Plan):
    return [run.status.state for run in plan.runs]


def states_with_jobs(plan: Plan, store):
    return [run.status.state for run in with_jobs(plan.runs, plan.sweep, store)]


def directories(plan, store):
    return [store.run(run.run_id) for run in plan.runs]


def give_to_a_job(store, runs, *, process: Process, sweep="tiny", job_id="tiny-1"):
    """The record of a submission, as the executor writes it."""
    listing = store.job_runs(job_id)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("".join(f"{run.path}\n" for run in runs))
    details = process.model_dump(mode="json")
    record = {
        "executor": "local",
        "job_id": job_id,
        "details": details,
        "sweep": sweep,
        "submitted": time.time(),
    }
    write_record(store.job(job_id), record)


# --- what is planned -----------------------------------------------------------------------------------------------


def test_a_plan_has_the_runs_of_the_grid_in_its_order_with_the_fingerprint_of_the_images(plan, file):
    expected = [spec.settings() for spec in expand(read_sweep(file))]
    found = [run.spec.settings() for run in plan.runs]
    assert [{**run, "fingerprint": "unprepared"} for run in found] == expected
    assert len({run["fingerprint"] for run in found} | {"unprepared"}) == 2


def test_a_plan_is_named_and_has_the_axes_of_its_sweep(plan, file):
    assert (plan.sweep, plan.axes, plan.source) == ("tiny", ["n", "W", "optimizer", "seed"], str(file))


def test_planning_writes_nothing(file, store):
    prepared(file, store)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    make_plan(read_sweep(file), store)
    stored_plan("tiny", store)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_too_few_images_are_told_before_anything_is_written(file, store):
    with pytest.raises(DataError, match=r"n = 1286.*the largest n is 1285"):
        make_plan(read_sweep(file, ["n=4,1286"]), store)
    assert not store.root.exists()


def test_p_is_taken_from_stored_runs_of_the_same_model(plan, file, store):
    """A new seed of a stored model needs no process that counts: p here is the tests' own."""
    grown = make_plan(read_sweep(file, ["seed=0,1,2"]), store)
    assert {run.p for run in grown.runs} == {parameter_count(plan.runs[0].spec)}


def test_p_of_new_models_is_counted_and_nothing_is_written(file, store):
    """What torch counts is tested with the U-Net; here, that each model gets its own count."""
    plan = make_plan(read_sweep(file, ["W=12,4,8", "n=4", "optimizer=adam", "seed=0"]), store)
    p = {run.spec.model.W: run.p for run in plan.runs}
    assert p[4] < p[8] < p[12]
    assert p[12] / p[8] == pytest.approx((12 / 8) ** 2, rel=0.1)
    assert not store.root.exists()


# --- states --------------------------------------------------------------------------------------------------------


def test_every_run_of_an_empty_store_is_pending(plan):
    assert states(plan) == ["pending"] * 8
    assert plan.steps_left == 8 * 60
    assert plan.count(*STATES) == 8


def test_each_state_is_read_from_the_files(plan, file, store):
    done, failed, lost, live, preempted, cancelled, given_up, _ = directories(plan, store)
    finish(done)
    fail(failed)
    lose(lost)
    begin(live)
    end(preempted, begin(preempted), state="preempted", tau=20)
    cancel(cancelled)
    end(given_up, begin(given_up), state="cancelled", tau=5)
    found = make_plan(read_sweep(file), store)
    assert states(found) == [
        "succeeded", "failed", "failed", "running", "preempted", "cancelled", "cancelled", "pending",
    ]  # fmt: skip
    assert [found.count(state) for state in ("failed", "cancelled", "submitted")] == [2, 2, 0]
    assert found.count("failed", "pending") == 3
    assert found.runs[2].status.failure == "lost_worker"


def test_runs_that_wait_and_those_that_were_preempted_are_to_do_the_dearest_first(plan, file, store):
    small, *others, large = directories(plan, store)
    for run in others:
        finish(run)
    end(small, begin(small), state="preempted", tau=20)
    found = make_plan(read_sweep(file), store)
    assert [run.run_id for run in todo(found)] == [large.run_id, small.run_id]


def test_a_run_that_a_living_job_was_given_is_submitted(plan, store):
    give_to_a_job(store, directories(plan, store)[:3], process=Process.of(os.getpid()))
    assert states_with_jobs(plan, store) == ["submitted"] * 3 + ["pending"] * 5


def test_a_job_that_is_dead_has_submitted_nothing(plan, store):
    gone = Process.of(os.getpid()).model_copy(update={"started": 1.0})
    give_to_a_job(store, directories(plan, store)[:3], process=gone)
    assert states_with_jobs(plan, store) == ["pending"] * 8


def test_a_job_of_another_machine_is_believed_to_live(plan, store):
    elsewhere = Process.of(os.getpid()).model_copy(update={"host": "elsewhere"})
    give_to_a_job(store, directories(plan, store)[:1], process=elsewhere)
    assert states_with_jobs(plan, store) == ["submitted"] + ["pending"] * 7


def test_a_run_that_a_job_was_given_and_that_is_done_is_done(plan, file, store):
    finish(directories(plan, store)[0])
    give_to_a_job(store, directories(plan, store)[:1], process=Process.of(os.getpid()))
    assert states_with_jobs(make_plan(read_sweep(file), store), store)[0] == "succeeded"


def test_a_plan_itself_does_not_look_at_jobs(plan, file, store):
    give_to_a_job(store, directories(plan, store)[:3], process=Process.of(os.getpid()))
    assert states(make_plan(read_sweep(file), store)) == ["pending"] * 8
    assert states(stored_plan("tiny", store)) == ["pending"] * 8


def test_steps_and_cost_that_are_left_go_down_with_what_is_done(plan, file, store):
    first, second, *_ = directories(plan, store)
    finish(first)
    end(second, begin(second), state="preempted", tau=20)
    found = make_plan(read_sweep(file), store)
    assert found.steps_left == 7 * 60 - 20
    done, begun, new, *_ = found.runs
    assert new.cost_left == new.cost == 60 * 4 * new.p
    assert done.cost_left == 0
    assert begun.cost_left == pytest.approx(begun.cost * 40 / 60)


def test_the_settings_of_a_planned_run_have_p_and_state_beside_them(plan):
    run = plan.runs[0]
    assert run.settings == {**run.spec.settings(), "p": run.p, "state": "pending"}


# --- sweeps that grow and meet -------------------------------------------------------------------------------------


def test_a_sweep_that_gets_another_n_keeps_what_is_done(plan, file, store):
    for run in directories(plan, store):
        finish(run)
    grown = make_plan(read_sweep(file, ["n=4,8,12"]), store)
    assert (grown.count("succeeded"), grown.count("pending")) == (8, 4)
    assert {run.spec.data.n for run in grown.runs if run.status.state == "pending"} == {12}


def test_the_same_point_in_two_sweeps_is_one_run(plan, file, store):
    finish(directories(plan, store)[0])
    other = make_plan(read_sweep(file, ["name=other", "n=4", "resources.threads=2"]), store)
    assert {run.run_id for run in other.runs} < {run.run_id for run in plan.runs}
    assert other.count("succeeded") == 1


def test_a_stored_plan_is_the_plan_of_the_file(plan, store):
    found = stored_plan("tiny", store)
    assert [(run.run_id, run.p, run.spec) for run in found.runs] == [
        (run.run_id, run.p, run.spec) for run in plan.runs
    ]
    assert (found.axes, found.resources, found.source) == (plan.axes, plan.resources, plan.source)
    assert found.images == []


def test_a_stored_plan_needs_the_sweep_file_no_more(plan, file, store):
    file.unlink()
    assert states(stored_plan("tiny", store)) == ["pending"] * 8


def test_preparing_a_plan_twice_changes_nothing(plan, store):
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    prepare(plan, store)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()} == before


# --- damaged stores ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["run_ids", "axes", "resources", "source"])
def test_a_sweep_record_that_lacks_something_is_named(plan, store, key):
    record = read_record(store.sweep("tiny"))
    write_record(store.sweep("tiny"), {k: v for k, v in record.items() if k != key})
    with pytest.raises(SchemaError, match=rf"tiny\.json: {key} missing"):
        stored_plan("tiny", store)


@pytest.mark.parametrize("key", ["p", "settings"])
def test_a_spec_that_lacks_something_is_named(plan, store, key):
    run = directories(plan, store)[0]
    record = read_record(run.spec)
    write_record(run.spec, {k: v for k, v in record.items() if k != key})
    with pytest.raises(SchemaError, match=rf"spec\.json: {key} missing"):
        stored_plan("tiny", store)


def test_a_spec_that_was_changed_is_refused(plan, store):
    run = directories(plan, store)[0]
    record = read_record(run.spec)
    write_record(run.spec, {**record, "settings": {**record["settings"], "steps": 61}})
    with pytest.raises(IdentityError, match=run.run_id):
        open_spec(run)


def test_the_spec_of_a_stored_run_is_the_one_that_was_planned(plan, store):
    assert isinstance(open_spec(directories(plan, store)[0]), RunSpec)
    assert open_spec(directories(plan, store)[0]) == plan.runs[0].spec


def test_the_sweep_file_of_the_tests_is_valid():
    assert SWEEP.count("\n") == 16
