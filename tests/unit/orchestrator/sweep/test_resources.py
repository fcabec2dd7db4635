"""Resources: what is allowed, what is refused by name, and how many workers that makes."""

from __future__ import annotations

import os

import pytest

from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import SettingError


def test_nothing_given_is_one_thread_a_worker_and_a_device_that_is_found():
    assert Resources.parse({}) == Resources(workers=None, threads=1, device="auto")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:13"])
def test_devices_by_their_torch_names_are_allowed(device):
    assert Resources.parse({"device": device}).device == device


def test_numbers_may_be_written_as_yaml_reads_1e2():
    assert Resources.parse({"checkpoint_seconds": "1e2"}).checkpoint_seconds == 100


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threds", 1, "no such resource; did you mean 'threads'"),
        ("gpus", 1, "no such resource; the nearest of 14: "),
        ("processes", 0, "greater than or equal to 1"),
        ("rank_timeout_seconds", 0, "greater than 0"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", None, "integer"),
        ("threads", 1.5, "integer"),
        ("threads", [1], "integer"),
        ("threads", "many", "integer"),
        ("threads", True, "not a truth value"),
        ("threads", 10**6, "less than or equal to 4096"),
        ("workers", 0, "greater than or equal to 1"),
        ("workers", -1, "greater than or equal to 1"),
        ("device", "gpu", "cuda"),
        ("device", "cuda:x", "cuda"),
        ("device", 0, "string"),
        ("checkpoint_seconds", 0, "greater than 0"),
        ("checkpoint_seconds", float("nan"), "finite|greater than 0"),
        ("checkpoint_seconds", float("inf"), "finite"),
        ("checkpoint_steps", 0, "greater than or equal to 1"),
        ("checkpoint_steps", 2.5, "integer"),
        ("keep_checkpoints", "all", r"a list of steps, such as \[100, 1000\], or \"evaluations\" is needed"),
        ("keep_checkpoints", [0], "a list of steps"),
        ("keep_checkpoints", [1.5], "a list of steps"),
        ("keep_checkpoints", None, "a list of steps"),
        ("wall_seconds", 0, "greater than 0"),
        ("wall_seconds", float("inf"), "finite"),
        ("max_attempts", 0, "greater than or equal to 1"),
        ("retry_seconds", -1, "greater than or equal to 0"),
        ("heartbeat_seconds", 0, "greater than 0"),
        ("heartbeat_seconds", 21, "less than or equal to 20"),
        ("heartbeat_seconds", float("nan"), "less than or equal to 20"),
    ],
)
def test_what_is_not_allowed_is_told_with_field_and_value(name, value, words):
    with pytest.raises(SettingError, match=words) as caught:
        Resources.parse({name: value})
    assert (caught.value.field, repr(caught.value.value)) == (name, repr(value))


@pytest.mark.parametrize(
    ("workers", "runs", "expected"), [(3, 10, 3), (3, 2, 2), (1, 10, 1), (4096, 5, 5), (3, 0, 1)]
)
def test_there_are_no_more_workers_than_runs_or_than_were_asked_for(workers, runs, expected):
    assert Resources(workers=workers).worker_count(runs) == expected


@pytest.mark.parametrize("threads", [1, 2, 4096])
def test_workers_that_were_not_asked_for_fill_the_cores(threads):
    cores = len(os.sched_getaffinity(0))
    assert Resources(threads=threads).worker_count(10_000) == max(1, cores // threads)


@pytest.mark.parametrize(
    ("value", "kept"), [([100, 1000], (100, 1000)), (7, (7,)), ([], ()), ("evaluations", "evaluations")]
)
def test_checkpoints_to_keep_are_steps_or_the_evaluated_ones(value, kept):
    assert Resources.parse({"keep_checkpoints": value}).keep_checkpoints == kept


@pytest.mark.parametrize("name", ["checkpoint_seconds", "checkpoint_steps", "wall_seconds"])
def test_intervals_and_budgets_can_be_switched_off(name):
    assert getattr(Resources.parse({name: None}), name) is None


def test_resources_survive_the_sweeps_record():
    given = Resources(workers=3, device="cuda:1", checkpoint_seconds=5, keep_checkpoints=(3, 9))
    assert Resources.parse(given.model_dump(mode="json")) == given


def test_processes_count_as_cores_when_workers_were_not_asked_for():
    cores = len(os.sched_getaffinity(0))
    assert Resources(processes=cores).worker_count(10_000) == 1


def test_a_group_that_the_machine_can_not_hold_is_refused_by_name():
    cores = len(os.sched_getaffinity(0))
    words = rf"1 × {cores + 1} × 1 cores are needed, this machine has {cores}"
    with pytest.raises(SettingError, match=words) as caught:
        Resources(processes=cores + 1).worker_count(1)
    assert (caught.value.field, caught.value.value) == ("processes", cores + 1)
    with pytest.raises(SettingError) as caught:
        Resources(processes=2, workers=cores).worker_count(10_000)
    assert (caught.value.field, caught.value.value) == ("workers", cores)


def test_several_processes_are_not_given_one_gpu():
    with pytest.raises(SettingError, match="processes = 2 need a GPU each; write cuda"):
        Resources.parse({"processes": 2, "device": "cuda:0"})
