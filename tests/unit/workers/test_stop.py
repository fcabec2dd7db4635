"""Signals only set a flag, and a second SIGINT quits."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import BinaryIO

import pytest

from tausweep.storage.files.atomic import publish
from tausweep.workers.stop import MARGIN_SECONDS, Budget, StopFlag

NUMBERS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


@pytest.fixture
def flag() -> StopFlag:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    stop = StopFlag()
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_asks_the_worker_to_stop(flag: StopFlag, number: signal.Signals) -> None:
    assert flag.reason is None
    os.kill(os.getpid(), number)
    assert flag.reason == "preempted"
    assert flag.worker_should_stop


def test_a_second_sigint_quits_at_once(flag: StopFlag) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_file_that_is_being_published_at_the_second_sigint_is_absent_or_whole(
    flag: StopFlag, tmp_path: Path
) -> None:
    publish(tmp_path / "there", lambda file: file.write(b"before"))

    def interrupted(file: BinaryIO) -> None:
        file.write(b"half of it")
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    for name in ("there", "absent"):
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path / name, interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_bytes() == b"before"


def test_a_worker_whose_time_is_over_should_stop(flag: StopFlag) -> None:
    flag.look_at_budget()
    assert flag.reason is None
    late = StopFlag(wall_seconds=1)
    late.look_at_budget()
    assert late.reason == "preempted"
    assert late.worker_should_stop


@pytest.mark.parametrize(("passed", "over"), [(0, False), (82, False), (83, True), (200, True)])
def test_a_budget_ends_early_enough_for_the_longest_step_and_checkpoint_seen(passed: int, over: bool) -> None:
    times = iter([0.0, float(passed)])
    budget = Budget(100, clock=lambda: next(times))
    for seconds in (1, 9, 2):
        budget.saw_step(seconds)
    for seconds in (3, 1):
        budget.saw_save(seconds)
    assert MARGIN_SECONDS == 5
    assert budget.over is over


def test_what_concerned_one_run_is_forgotten_for_the_next(flag: StopFlag) -> None:
    flag.stop_run("cancelled")
    assert flag.reason == "cancelled"
    assert not flag.worker_should_stop
    flag.next_run()
    assert flag.reason is None


def test_the_end_of_the_worker_outlasts_the_run(flag: StopFlag) -> None:
    flag.stop_worker()
    flag.next_run()
    assert flag.reason == "preempted"
