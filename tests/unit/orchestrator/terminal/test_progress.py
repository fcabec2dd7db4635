"""How long the rest takes, from the work that was seen to be done."""

from __future__ import annotations

from tausweep.orchestrator.terminal.progress import RemainingTime


def test_nothing_is_said_before_20_seconds_of_work_are_measured():
    remaining = RemainingTime(0.0)
    assert remaining.seconds(30.0, 0.0, 100.0) is None  # workers start
    assert remaining.seconds(40.0, 5.0, 95.0) is None
    assert remaining.seconds(49.9, 9.0, 91.0) is None
    assert remaining.seconds(50.0, 10.0, 90.0) == 180.0  # 10 in 20 s


def test_the_start_of_the_workers_does_not_count_as_work():
    remaining = RemainingTime(0.0)
    assert remaining.seconds(1000.0, 0.0, 100.0) is None
    assert remaining.seconds(1100.0, 50.0, 50.0) == 100.0


def test_nothing_is_said_where_nothing_is_left():
    assert RemainingTime(0.0).seconds(100.0, 10.0, 0.0) is None
