"""What the files say of a run: its state, how far it is, and what failed."""

from __future__ import annotations

import time

import pytest

from tausweep.storage.attempts.claims import beat
from tausweep.storage.attempts.records import Claim, RetryPolicy, read_attempt, write_attempt
from tausweep.storage.attempts.status import run_status
from tests.unit.storage.attempt_making import ELSEWHERE, begin, record


@pytest.fixture
def run(store, make_run):
    return make_run(store)


ENDINGS = {  # (what the newest record says, retry): state, and state while the run is marked as cancelled
    ("succeeded", False): ("succeeded", "succeeded"),
    ("failed", False): ("failed", "cancelled"),
    ("failed", True): ("pending", "cancelled"),
    ("cancelled", False): ("cancelled", "cancelled"),
    ("cancelled", True): ("pending", "cancelled"),
    ("preempted", False): ("preempted", "cancelled"),
}


def test_a_run_that_was_never_started_is_pending(run):
    assert run_status(run).state == "pending"


def test_a_run_cancelled_before_it_was_started_is_cancelled(run):
    run.cancel.touch()
    assert run_status(run).state == "cancelled"


@pytest.mark.parametrize("marked", [False, True], ids=["", "marked as cancelled"])
@pytest.mark.parametrize(("state", "retry"), ENDINGS)
def test_the_newest_record_gives_the_state(run, state, retry, marked):
    record(run, 1, state="failed", failure="error")
    record(run, 2, state=state, retry=retry, ended=time.time())
    if marked:
        run.cancel.touch()
    assert run_status(run).state == ENDINGS[state, retry][marked]


@pytest.mark.parametrize("marked", [False, True], ids=["", "marked as cancelled"])
def test_a_live_attempt_is_running_until_it_has_stopped(run, marked):
    begin(run)
    if marked:
        run.cancel.touch()
    assert run_status(run).state == "running"


@pytest.mark.parametrize(
    ("marked", "tries", "state"),
    [(False, 1, "failed"), (False, 2, "pending"), (True, 1, "cancelled"), (True, 2, "cancelled")],
)
def test_an_attempt_that_died_without_a_word_is_followed_by_another_until_it_has_failed(
    run, dead, marked, tries, state
):
    record(run, process=dead, retries=RetryPolicy(max_attempts=tries))
    if marked:
        run.cancel.touch()
    assert run_status(run).state == state


@pytest.mark.parametrize("state", ["pending", "submitted", "preempted"])
def test_a_run_is_claimable_where_nobody_must_ask_for_it_again(run, state):
    assert run_status(run).model_copy(update={"state": state}).claimable


@pytest.mark.parametrize("state", ["running", "succeeded", "failed", "cancelled"])
def test_a_run_that_runs_or_has_ended_is_not_claimable(run, state):
    assert not run_status(run).model_copy(update={"state": state}).claimable


def test_a_lost_worker_is_told_of_with_its_machine(run, dead):
    record(run, process=dead)
    status = run_status(run)
    assert (status.failure, status.host) == ("lost_worker", dead.host)
    assert f"pid {dead.pid}" in status.error


def test_a_failure_comes_with_its_class_and_message(run):
    record(run, state="failed", failure="not_finite", error="loss = nan at tau = 7", tau=7)
    status = run_status(run)
    assert (status.failure, status.error, status.tau) == ("not_finite", "loss = nan at tau = 7", 7)


def test_an_old_failure_is_no_failure_of_a_run_that_succeeded_later(run):
    record(run, 1, state="failed", failure="error", error="first")
    record(run, 2, state="succeeded", tau=100)
    status = run_status(run)
    assert (status.attempt, status.failure, status.error, status.tau) == (2, None, None, 100)


def test_the_heartbeat_tells_how_far_and_how_fast_a_run_is(run):
    attempt = begin(run)
    beat(run, Claim(attempt=1, process=attempt.process, tau=42, steps_per_second=3.5))
    status = run_status(run)
    assert (status.tau, status.steps_per_second) == (42, 3.5)


def test_the_heartbeat_of_an_older_attempt_tells_nothing_of_the_newer(run):
    record(run, 1)
    beat(run, Claim(attempt=1, process=ELSEWHERE, tau=42, steps_per_second=3.5))
    record(run, 2)
    status = run_status(run)
    assert (status.state, status.tau, status.steps_per_second) == ("running", 0, None)


def test_before_its_first_heartbeat_a_resumed_attempt_is_where_it_resumed(run):
    attempt = begin(run)
    write_attempt(run, attempt.model_copy(update={"resumed_from_tau": 30}))
    assert run_status(run).tau == 30


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("state", ["none", "live", "dead", "failed", "succeeded"])
def test_status_writes_nothing(run, dead, snapshot, state, cancelled):
    if state == "live":
        begin(run)
    elif state != "none":
        record(run, process=dead, state="running" if state == "dead" else state)
    if cancelled:
        run.cancel.touch()
    before = snapshot(run.path)
    run_status(run)
    assert snapshot(run.path) == before


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_retry_opens_an_ended_run_for_one_more_attempt(run, state):
    write_attempt(run, record(run, state=state).model_copy(update={"retry": True}))
    assert run_status(run).claimable
    assert begin(run).attempt == 2
    assert run_status(run).state == "running"
    write_attempt(run, read_attempt(run, 2).model_copy(update={"state": "failed"}))
    assert not run_status(run).claimable


def test_a_cancelled_run_is_not_claimable_even_if_it_was_to_be_tried_again(run):
    record(run, state="failed", retry=True)
    run.cancel.touch()
    assert not run_status(run).claimable


def test_taking_the_marker_away_gives_a_preempted_run_back(run):
    record(run, state="preempted")
    run.cancel.touch()
    assert run_status(run).state == "cancelled"
    run.cancel.unlink()
    assert run_status(run).claimable
