"""Who may execute a run, who must stop, and who writes the end of an attempt that was lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from tausweep.storage.attempts.claims import beat, begin_attempt, end_attempt, lost, require_ownership, settle
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import (
    Claim,
    Process,
    RetryPolicy,
    last_attempt,
    read_attempt,
    read_claim,
    write_attempt,
)
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.files.records import write_new_record, write_record
from tausweep.storage.tables.part_writer import PartWriter
from tests.unit.storage.attempt_making import AT_ONCE, ELSEWHERE, LISTENED, METRIC, age, begin, record


@pytest.fixture
def run(store, make_run):
    return make_run(store)


def test_the_first_attempt_is_number_one_and_running(run):
    attempt = begin_attempt(run, job_id="tiny-1", provenance={"commit": "abc"})
    assert attempt == read_attempt(run, 1) == last_attempt(run)
    assert (attempt.attempt, attempt.state, attempt.job_id) == (1, "running", "tiny-1")
    assert (attempt.provenance, attempt.process) == ({"commit": "abc"}, Process.of(os.getpid()))
    assert read_claim(run).attempt == 1


def test_a_run_that_is_executed_cannot_be_claimed(run):
    assert begin(run) is not None
    assert begin(run) is None
    assert run.attempt_numbers() == [1]


RACER = """
import sys
from pathlib import Path
from tausweep.storage.attempts.claims import begin_attempt
from tausweep.storage.layout import RunDirectory
print("ready", flush=True)
sys.stdin.readline()
for path in sys.argv[1:]:
    record = begin_attempt(RunDirectory(Path(path)), job_id=None, provenance={})
    print(record.attempt if record else "-", flush=True)
print("done", flush=True)
sys.stdin.readline()
"""


def test_of_racing_workers_exactly_one_begins_each_attempt(store, make_run, dead):
    runs = [make_run(store, seed=seed) for seed in range(20)]
    for run in runs[:10]:  # a fresh run, and one to be taken over
        record(run, process=dead, retries=RetryPolicy(retry_seconds=0))
    racing = [sys.executable, "-c", RACER, *(str(run.path) for run in runs)]
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                subprocess.Popen(racing, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(5)
        ]
        for racer in racers:
            racer.stdout.readline()
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [[racer.stdout.readline().strip() for _ in runs] for racer in racers]
        for racer in racers:  # none ends, and so becomes a dead worker, before all have raced
            racer.communicate("end\n", timeout=60)
    begun = [sorted(set(answer) - {"-"}) for answer in zip(*answers, strict=True)]
    losers = [answer.count("-") for answer in zip(*answers, strict=True)]
    assert begun == [["2"]] * 10 + [["1"]] * 10
    assert losers == [4] * 20


def test_a_silent_claim_is_taken_over_by_the_next_attempt(run):
    first = record(run, retries=RetryPolicy(retry_seconds=0))
    beat(run, Claim(attempt=1, process=ELSEWHERE, tau=7))
    heard = run.claim.stat().st_mtime
    assert begin(run, watch=LISTENED).attempt == 2
    assert read_claim(run).attempt == 2
    before = read_attempt(run, 1)
    assert (before.state, before.failure, before.tau) == ("failed", "lost_worker", 7)
    assert before.ended == heard > first.started, "it ended with its last sign of life"


@pytest.mark.parametrize("hours", [-9, 0, 9], ids=["the past", "the present", "the future"])
def test_whoever_has_not_listened_takes_nothing_over_whatever_the_date(run, hours):
    record(run)
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    age(run.claim, seconds=-3600 * hours)
    assert begin(run) is None
    assert begin(run, watch=Watch()) is None
    assert run.attempt_numbers() == [1]


def test_a_lost_worker_is_not_followed_before_its_wait_is_over(run, dead):
    record(run, process=dead, retries=RetryPolicy(retry_seconds=30))
    status = run_status(run)
    assert status.waiting
    assert not status.claimable
    assert 25 < status.retry_in <= 30
    assert begin(run) is None
    age(run.attempt(1), seconds=31)
    write_attempt(run, read_attempt(run, 1).model_copy(update={"started": time.time() - 40}))
    age(run.attempt(1), seconds=31)
    assert run_status(run).claimable
    assert begin(run).attempt == 2


def test_a_run_that_lost_all_its_tries_says_how_many(run, dead):
    policy = RetryPolicy(retry_seconds=0)
    for number in (1, 2, 3):
        record(run, number, process=dead, state="failed", failure="lost_worker", ended=1.0, retries=policy)
    status = run_status(run)
    assert (status.state, status.failure) == ("failed", "lost_worker")
    assert "3 attempts were lost in a row without progress" in status.error
    assert begin(run) is None


def test_a_run_asked_for_again_has_all_its_tries_again(run, dead):
    policy = RetryPolicy(retry_seconds=0)
    for number in (1, 2, 3):
        record(run, number, process=dead, state="failed", failure="lost_worker", ended=1.0, retries=policy)
    write_attempt(run, last_attempt(run).model_copy(update={"retry": True}))
    assert begin(run, retries=policy).attempt == 4
    write_attempt(run, read_attempt(run, 4).model_copy(update={"process": dead}))
    assert run_status(run).claimable


def test_the_policy_is_kept_with_the_attempt(run):
    policy = RetryPolicy(max_attempts=7, retry_seconds=0.5)
    assert begin(run, retries=policy).retries == read_attempt(run, 1).retries == policy


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_run_that_has_ended_is_begun_again_only_when_asked(run, state):
    record(run, state=state, tau=5)
    assert begin(run) is None
    assert run.attempt_numbers() == [1]


@pytest.mark.parametrize("state", ["failed", "cancelled", "preempted"])
def test_an_attempt_that_ended_by_itself_keeps_its_record(run, state):
    first = record(run, state=state, tau=5, retry=state != "preempted")
    assert begin(run).attempt == 2
    assert read_attempt(run, 1) == first


def test_an_attempt_that_ends_while_another_looks_is_not_taken_for_lost(run, dead, monkeypatch):
    record(run, process=dead)
    at_once = RetryPolicy(retry_seconds=0)
    ended = record(run, process=dead, state="succeeded", tau=100, retries=at_once).model_dump(mode="json")
    looks = iter([{**ended, "state": "running", "tau": None}])

    def read(path, really=sys.modules["tausweep.storage.attempts.records"].read_record):
        return next(looks, None) or really(path)  # the first look comes before the worker's last word

    monkeypatch.setattr("tausweep.storage.attempts.records.read_record", read)
    assert begin(run) is None
    assert read_attempt(run, 1).state == "succeeded"
    assert run.attempt_numbers() == [1]


def test_who_slept_while_taking_a_run_and_lost_it_has_not_got_it(run, dead, monkeypatch):
    """Another process follows between the new attempt's record and its first heartbeat."""
    record(run, process=dead, retries=AT_ONCE)

    def slow(run, previous):
        record(run, 3)
        return lost(run, previous)

    monkeypatch.setattr("tausweep.storage.attempts.claims.lost", slow)
    assert begin(run) is None
    assert read_claim(run) is None


def test_what_an_attempt_wrote_while_it_was_taken_over_is_kept(run, dead, monkeypatch):
    """The older attempt writes where it resumed between the look of the newer one and the newer one's record."""
    record(run, process=dead, retries=AT_ONCE)

    def slow(target, content):
        record(run, process=dead, retries=AT_ONCE, resumed_from_tau=7)
        return write_new_record(target, content)

    monkeypatch.setattr("tausweep.storage.attempts.claims.write_new_record", slow)
    assert begin(run).attempt == 2
    assert (read_attempt(run, 1).state, read_attempt(run, 1).resumed_from_tau) == ("failed", 7)


def test_an_end_that_was_written_while_it_was_taken_over_is_kept(run, dead, monkeypatch):
    record(run, process=dead, retries=AT_ONCE)

    def slow(target, content):
        record(run, process=dead, retries=AT_ONCE, state="succeeded", ended=2.0)
        return write_new_record(target, content)

    monkeypatch.setattr("tausweep.storage.attempts.claims.write_new_record", slow)
    assert begin(run).attempt == 2
    assert read_attempt(run, 1).state == "succeeded"


@pytest.fixture
def taken_over(run):
    """An attempt that was silent for too long and does not know yet that another has begun."""
    old = record(run, retries=RetryPolicy(retry_seconds=0))
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    assert begin(run, watch=LISTENED) is not None
    return old


@pytest.mark.parametrize(
    "act",
    [
        lambda run, old: require_ownership(run, 1),
        lambda run, old: beat(run, Claim(attempt=1, process=ELSEWHERE, tau=9)),
        lambda run, old: end_attempt(run, old.model_copy(update={"state": "succeeded"})),
        lambda run, old: PartWriter(run, attempt=1).publish("metrics", METRIC),
    ],
    ids=["ask", "beat", "end", "publish"],
)
def test_a_writer_that_was_taken_over_can_write_nothing_more(run, taken_over, snapshot, act):
    before = snapshot(run.path)
    with pytest.raises(ClaimLostError, match="attempt 2 has taken over from attempt 1"):
        act(run, taken_over)
    assert snapshot(run.path) == before


def test_who_has_taken_over_may_write(run, taken_over):
    require_ownership(run, 2)
    PartWriter(run, attempt=2).publish("metrics", METRIC)
    assert len(run.parts("metrics")) == 1


def test_an_attempt_that_ends_gives_its_claim_back(run):
    attempt = begin(run)
    end_attempt(run, attempt.model_copy(update={"state": "succeeded", "ended": time.time(), "tau": 100}))
    assert read_claim(run) is None
    assert run_status(run).state == "succeeded"


def test_a_lost_record_keeps_what_the_attempt_had_told(run):
    attempt = record(run, job_id="a-1", resumed_from_tau=30, provenance={"commit": "abc"})
    gone = lost(run, attempt)
    kept = {"attempt", "started", "process", "job_id", "resumed_from_tau", "provenance"}
    assert gone.model_dump(include=kept) == attempt.model_dump(include=kept)


def test_the_end_of_a_dead_worker_is_written_at_once(run, dead):
    record(run, process=dead)
    beat(run, Claim(attempt=1, process=dead))
    assert settle(run, Watch())
    assert read_attempt(run, 1).failure == "lost_worker"
    assert read_claim(run) is None


def test_a_silent_worker_elsewhere_is_left_alone_until_it_is_known_to_be_lost(run, snapshot):
    record(run)
    beat(run, Claim(attempt=1, process=ELSEWHERE))
    age(run.claim)
    before = snapshot(run.path)
    assert not settle(run, Watch())
    assert snapshot(run.path) == before
    assert settle(run, LISTENED)
    assert read_attempt(run, 1).failure == "lost_worker"


def test_a_worker_that_was_killed_because_it_was_told_to_stop_leaves_a_preempted_run(run, dead):
    record(run, process=dead)
    settle(run, Watch(), stopped=True)
    status = run_status(run)
    assert (status.state, status.failure, status.error) == ("preempted", None, None)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "preempted"])
def test_an_attempt_that_ended_by_itself_is_not_settled_again(run, dead, snapshot, state):
    record(run, process=dead, state=state)
    before = snapshot(run.path)
    assert settle(run, LISTENED)
    assert snapshot(run.path) == before


def test_the_claim_of_an_attempt_that_was_killed_after_its_last_word_is_taken_away(run):
    record(run, state="succeeded", ended=2.0)
    write_record(run.claim, Claim(attempt=1, process=ELSEWHERE).model_dump(mode="json"))
    assert settle(run, Watch())
    assert not run.claim.exists()


def test_the_claim_of_a_newer_attempt_is_not(run):
    record(run, state="succeeded", ended=2.0)
    write_record(run.claim, Claim(attempt=2, process=ELSEWHERE).model_dump(mode="json"))
    assert settle(run, Watch())
    assert run.claim.exists()
