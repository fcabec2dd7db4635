"""Watching heartbeats: a change is life, silence for a lease is death, and no clock but the watcher's own counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tausweep.storage.attempts.claims import beat
from tausweep.storage.attempts.liveness import LEASE_SECONDS, Watch, is_live
from tausweep.storage.attempts.records import Claim, Process
from tests.unit.storage.attempt_making import ELSEWHERE, age, record


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(clock):
    return Watch(clock=clock)


@pytest.fixture
def run(store, make_run):
    return make_run(store)


def listen(watch, clock, run, attempt, *, seconds, step=2.0):
    """Look every `step` seconds, and return the last answer."""
    for _ in range(round(seconds / step)):
        clock.now += step
        answer = watch.alive(run, attempt)
    return answer


def beats(run, count, *, hours=0.0):
    """A heartbeat, dated by a clock that is some hours off."""
    beat(run, Claim(attempt=1, process=ELSEWHERE, beats=count))
    date = time.time() + 3600 * hours
    os.utime(run.claim, (date, date))


def test_one_look_does_not_tell(run, watch):
    attempt = record(run)
    beats(run, 1)
    assert watch.alive(run, attempt) is None


def test_a_heartbeat_that_changes_is_alive(run, watch, clock):
    attempt = record(run)
    beats(run, 1)
    watch.alive(run, attempt)
    beats(run, 2)
    assert listen(watch, clock, run, attempt, seconds=2) is True


@pytest.mark.parametrize("hours", [-30, -0.02, 0, 0.02, 30])
def test_silence_for_a_lease_is_death_whatever_the_dates(run, watch, clock, hours):
    attempt = record(run)
    beats(run, 1, hours=hours)
    watch.alive(run, attempt)
    assert listen(watch, clock, run, attempt, seconds=LEASE_SECONDS - 2) is None
    assert listen(watch, clock, run, attempt, seconds=2) is False


@pytest.mark.parametrize("hours", [-30, -0.02, 0, 0.02, 30])
def test_a_heartbeat_that_comes_in_time_keeps_alive_whatever_the_dates(run, watch, clock, hours):
    attempt = record(run)
    for count in range(20):
        beats(run, count, hours=hours)
        assert listen(watch, clock, run, attempt, seconds=20) is not False
    assert watch.alive(run, attempt) is True


def test_an_attempt_that_lived_and_falls_silent_is_lost(run, watch, clock):
    attempt = record(run)
    for count in range(3):
        beats(run, count)
        listen(watch, clock, run, attempt, seconds=4)
    assert listen(watch, clock, run, attempt, seconds=LEASE_SECONDS) is False


def test_a_watcher_that_was_paused_itself_does_not_take_its_own_absence_for_silence(run, watch, clock):
    attempt = record(run)
    beats(run, 1)
    watch.alive(run, attempt)
    clock.now += 100 * LEASE_SECONDS
    assert watch.alive(run, attempt) is None


def test_before_the_first_heartbeat_silence_counts_too(run, watch, clock):
    attempt = record(run)
    watch.alive(run, attempt)
    assert listen(watch, clock, run, attempt, seconds=LEASE_SECONDS) is False


def test_the_first_heartbeat_is_a_change(run, watch, clock):
    attempt = record(run)
    watch.alive(run, attempt)
    beats(run, 0)
    assert listen(watch, clock, run, attempt, seconds=2) is True


def test_a_new_attempt_is_watched_from_its_own_beginning(run, watch, clock):
    first = record(run)
    beats(run, 1)
    watch.alive(run, first)
    listen(watch, clock, run, first, seconds=LEASE_SECONDS)
    second = record(run, 2)
    assert watch.alive(run, second) is None


def test_two_runs_are_watched_apart(store, make_run, watch, clock):
    runs = [make_run(store, seed=seed) for seed in range(2)]
    told = [record(run) for run in runs]
    for count in range(40):
        clock.now += 2
        beats(runs[0], count)
        answers = [watch.alive(run, attempt) for run, attempt in zip(runs, told, strict=True)]
    assert answers == [True, False]


def test_a_process_known_to_be_dead_is_not_waited_for(run, watch):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    attempt = record(run, process=Process.of(child.pid))
    beats(run, 1)
    assert watch.alive(run, attempt) is None
    child.communicate()
    assert watch.alive(run, attempt) is False


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "preempted"])
def test_an_attempt_that_has_ended_is_not_alive(run, watch, state):
    assert watch.alive(run, record(run, state=state)) is False


def test_watching_writes_nothing(run, watch, snapshot):
    attempt = record(run)
    beats(run, 1)
    before = snapshot(run.path)
    watch.alive(run, attempt)
    assert snapshot(run.path) == before


# --- looking once, by the date -----------------------------------------------------------------------------------


def test_a_dead_process_of_this_machine_is_noticed_at_once(run, dead):
    attempt = record(run, process=dead)
    beat(run, Claim(attempt=1, process=dead))
    assert not is_live(run, attempt)


def test_a_zombie_is_dead(run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        attempt = record(run, process=Process.of(child.pid))
        assert is_live(run, attempt)
        child.kill()
        while attempt.process.alive():  # until the kernel has ended it; nobody has waited for it
            time.sleep(0.01)
        assert child.returncode is None
        assert not is_live(run, attempt)


def test_a_pid_that_was_given_anew_is_not_the_old_process(run):
    me = Process.of(os.getpid())
    assert me.alive()
    assert not me.model_copy(update={"started": me.started - 3600}).alive()


@pytest.mark.parametrize(
    "field", [{"host": "another-host"}, {"namespace": "pid:[1]"}], ids=["host", "container"]
)
def test_a_process_that_cannot_be_seen_is_judged_by_its_heartbeat_alone(run, dead, field):
    attempt = record(run, process=dead.model_copy(update=field))
    beat(run, Claim(attempt=1, process=attempt.process))
    assert is_live(run, attempt)
    age(run.claim)
    assert not is_live(run, attempt)


def test_a_heartbeat_counts_for_the_length_of_the_lease(run):
    attempt = record(run)
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    heard = run.claim.stat().st_mtime
    assert is_live(run, attempt, now=heard + LEASE_SECONDS - 0.01)
    assert not is_live(run, attempt, now=heard + LEASE_SECONDS)


def test_before_the_first_heartbeat_the_records_date_counts(run):
    attempt = record(run)
    assert is_live(run, attempt)
    age(run.attempt(1))
    assert not is_live(run, attempt)


def test_the_heartbeat_of_an_older_attempt_keeps_no_newer_one_alive(run):
    record(run, 1)
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    attempt = record(run, 2)
    age(run.attempt(2))
    assert not is_live(run, attempt)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "preempted"])
def test_an_ended_attempt_is_not_live_however_fresh_its_claim(run, state):
    attempt = record(run)
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    assert not is_live(run, attempt.model_copy(update={"state": state}))
