"""A rank's place in torchrun's environment, and its device."""

from __future__ import annotations

import pytest
import torch

from storage.errors import InputError
from workers.process_group import Place, rank_device
from workers.team import Team, make_team

CPU = torch.device("cpu")
PLACE = Place(rank=1, size=4, local_rank=0, address="host0", port=29500)


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
    with pytest.raises(InputError, match=rf"{name} = 'x1': a whole number"):
        Place.from_environment(PLACE.environment() | {name: "x1"})


def test_every_rank_of_a_cpu_run_computes_there() -> None:
    assert rank_device(CPU, 3) == CPU


def test_one_gpu_is_not_given_to_several_ranks() -> None:
    with pytest.raises(InputError, match="device = cuda:1: one GPU can't be given to several processes"):
        rank_device(torch.device("cuda:1"), 0)


def test_a_rank_without_a_gpu_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"this host has \d+ GPUs, and process 100 needs one too"):
        rank_device(torch.device("cuda"), 99)


def team(processes: int, place: Place | None) -> Team:
    return make_team(processes=processes, device=CPU, timeout_seconds=1, place=place, arguments=[])


def test_a_worker_of_one_process_has_no_ranks_to_lead() -> None:
    assert type(team(1, None)) is Team


def test_another_number_of_processes_than_the_environment_has_is_refused() -> None:
    with pytest.raises(InputError, match="--processes 2: the environment has WORLD_SIZE = 4"):
        team(2, PLACE)
