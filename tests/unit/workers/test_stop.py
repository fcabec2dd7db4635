"""Signals only set a flag, and a second SIGINT quits."""

from __future__ import annotations

import os
import signal

import pytest

from workers.stop import StopFlag


@pytest.fixture
def flag() -> StopFlag:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    stop = StopFlag()
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_asks_the_worker_to_stop(flag: StopFlag, number: signal.Signals) -> None:
    assert flag.reason is None
    os.kill(os.getpid(), number)
    assert flag.reason == "preempted"
    assert flag.worker_should_stop


def test_a_second_sigint_quits_at_once(flag: StopFlag) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


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
