"""The rule for retries: which ends are final, how often a lost worker is followed by another, and when."""

from __future__ import annotations

import pytest

from tausweep.storage.attempts.records import AttemptRecord, Process, RetryPolicy
from tausweep.storage.attempts.retries import LONGEST_WAIT_SECONDS, lost_in_a_row, seconds_to_wait

NOW = 1_800_000_000.0
ELSEWHERE = Process(host="another-host", pid=1, started=0.0, namespace="pid:[1]")


def attempts(*ends, **policy):
    """Attempts of a run that have just ended; each is (state or failure, tau from which it began)."""
    made = []
    for number, (end, began) in enumerate(ends, start=1):
        failed = end not in ("succeeded", "cancelled", "preempted", "running")
        made.append(
            AttemptRecord(
                attempt=number,
                state="failed" if failed else end,
                failure=end if failed else None,
                started=NOW - 100,
                ended=NOW,
                process=ELSEWHERE,
                resumed_from_tau=began,
                retries=RetryPolicy(**policy),
            )
        )
    return made


LOST = ("lost_worker", 0)


def test_a_run_that_was_never_begun_waits_for_nothing():
    assert seconds_to_wait([], NOW) == 0


def test_a_preempted_run_waits_for_nothing():
    assert seconds_to_wait(attempts(("preempted", 0)), NOW) == 0


@pytest.mark.parametrize(
    "end", ["succeeded", "cancelled", "error", "not_finite", "out_of_memory", "bad_data"]
)
def test_what_ended_by_itself_is_not_begun_by_itself(end):
    assert seconds_to_wait(attempts((end, 0)), NOW + 1e6) is None


@pytest.mark.parametrize(
    "end", ["cancelled", "error", "not_finite", "out_of_memory", "bad_data", "lost_worker"]
)
def test_what_the_user_asks_for_waits_for_nothing(end):
    *before, last = attempts(LOST, LOST, LOST, (end, 0))
    assert seconds_to_wait([*before, last.model_copy(update={"retry": True})], NOW) == 0


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_the_wait_doubles_with_each_lost_try(lost):
    assert seconds_to_wait(attempts(*[LOST] * lost, max_attempts=9, retry_seconds=3), NOW) == 3 * 2 ** (
        lost - 1
    )


def test_the_wait_has_an_upper_end():
    many = attempts(*[LOST] * 2000, max_attempts=9999, retry_seconds=1)
    assert seconds_to_wait(many, NOW) == LONGEST_WAIT_SECONDS


def test_time_that_has_passed_is_not_waited_for_again():
    once = attempts(LOST, retry_seconds=10)
    assert seconds_to_wait(once, NOW + 4) == 6
    assert seconds_to_wait(once, NOW + 10) == 0
    assert seconds_to_wait(once, NOW + 1e6) == 0


def test_an_end_in_the_future_means_different_clocks_and_no_wait():
    assert seconds_to_wait(attempts(LOST, retry_seconds=10), NOW - 3600) == 0


@pytest.mark.parametrize(("lost", "final"), [(1, False), (2, False), (3, True), (4, True)])
def test_after_max_attempts_lost_in_a_row_a_run_has_failed(lost, final):
    assert (seconds_to_wait(attempts(*[LOST] * lost, max_attempts=3), NOW + 1e6) is None) is final


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ([], 0),
        ([LOST], 1),
        ([LOST, LOST], 2),
        ([("lost_worker", 0), ("lost_worker", 50)], 1),
        ([("lost_worker", 0), ("lost_worker", 50), ("lost_worker", 50)], 2),
        ([("lost_worker", 50), ("lost_worker", 30)], 2),
        ([("lost_worker", 0), ("lost_worker", None), ("lost_worker", 50)], 2),
        ([("lost_worker", None), ("lost_worker", None)], 2),
        ([LOST, ("preempted", 0), LOST], 2),
        ([LOST, ("preempted", 0), ("lost_worker", 20)], 1),
        ([("error", 0), LOST], 1),
        ([LOST, ("error", 0)], 0),
    ],
)
def test_only_tries_that_got_no_further_count(ends, count):
    assert lost_in_a_row(attempts(*ends)) == count


def test_tries_before_the_user_asked_do_not_count():
    first, second, third = attempts(LOST, LOST, LOST)
    assert lost_in_a_row([first, second.model_copy(update={"retry": True}), third]) == 1
