"""A rank's place in torchrun's environment, its device, and how it leaves the group."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import distributed

from tausweep.storage.errors import InputError
from tausweep.workers.options import WorkerOptions
from tausweep.workers.ranks.follower import follow
from tausweep.workers.ranks.process_group import GroupRanks, Place, rank_device
from tausweep.workers.ranks.team import Team, make_team

CPU = torch.device("cpu")
PLACE = Place(rank=1, size=4, local_rank=0, address="host0", port=29500)
ALONE = Place(rank=0, size=1, local_rank=0, address="127.0.0.1", port=0)


def test_a_place_is_read_from_the_environment_it_makes() -> None:
    assert Place.from_environment(PLACE.environment() | {"PATH": "/bin"}) == PLACE


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"RANK": "3"}])
def test_a_process_without_others_works_alone(environment: dict[str, str]) -> None:
    assert Place.from_environment(environment) is None


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_what_is_missing_of_the_environment_is_named(name: str) -> None:
    rest = {key: value for key, value in PLACE.environment().items() if key != name}
    with pytest.raises(InputError, match=rf"WORLD_SIZE = '4': {name} must be set"):
        Place.from_environment(rest)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"])
def test_what_is_no_number_is_named_with_its_value(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} = 'x1': an integer"):
        Place.from_environment(PLACE.environment() | {name: "x1"})


def test_every_rank_of_a_cpu_run_computes_there() -> None:
    assert rank_device(CPU, 3) == CPU


def test_one_gpu_is_not_given_to_several_ranks() -> None:
    with pytest.raises(InputError, match="device = cuda:1: several processes cannot share one GPU"):
        rank_device(torch.device("cuda:1"), 0)


def test_a_rank_without_a_gpu_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"this host has \d+ GPUs, and process 100 needs one too"):
        rank_device(torch.device("cuda"), 99)


def team(processes: int, place: Place | None) -> Team:
    return make_team(
        WorkerOptions(processes=processes, rank_timeout_seconds=1), device=CPU, place=place, runs=[]
    )


@pytest.fixture
def in_a_group() -> GroupRanks:
    """This process in a group of its own."""
    ranks = GroupRanks(ALONE, distributed.HashStore(), CPU, timeout_seconds=5)
    yield ranks
    ranks.leave()


def test_a_worker_leaves_the_group_at_its_end(in_a_group: GroupRanks) -> None:
    with team(2, None):
        assert distributed.is_initialized()
    assert not distributed.is_initialized(), "torch's threads, left alone, abort a process now and then"


def test_a_rank_leaves_the_group_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tausweep.workers.ranks.follower.find_store", lambda place: distributed.HashStore())
    monkeypatch.setattr(GroupRanks, "broadcast", lambda ranks, value: {"end": 75})
    with ignored_signals():
        assert follow(ALONE, device=CPU, timeout_seconds=5, parent=None) == 75
    assert not distributed.is_initialized()


@contextmanager
def ignored_signals() -> Iterator[None]:
    """Put back the handlers that a follower takes away."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_worker_of_one_process_has_no_ranks_to_lead() -> None:
    assert type(team(1, None)) is Team


def test_another_number_of_processes_than_the_environment_has_is_refused() -> None:
    with pytest.raises(InputError, match="--processes 2: the environment has WORLD_SIZE = 4"):
        team(2, PLACE)
