"""What a sweep may ask of Ray, and how it becomes the options of a Ray task: a translation, or a refusal by name."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.executors.base import JobRequest
from tausweep.orchestrator.executors.ray.cluster import Node, places
from tausweep.orchestrator.executors.ray.executor import entrypoint, environment
from tausweep.orchestrator.executors.ray.placement import bundle, parameters
from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import InputError, SettingError


def resources(ray=None, **others):
    return Resources.parse({**others, "ray": ray or {}})


def test_nothing_asked_for_is_a_core_a_run_and_the_tries_of_the_store():
    assert parameters(resources()) == {
        "num_cpus": 1.0,
        "scheduling_strategy": "DEFAULT",
        "max_retries": 2,
    }


def test_each_field_has_its_place_among_ray_s_options():
    asked = {
        "cpus": 0.5,
        "gpus": 0.25,
        "memory": "4G",
        "custom": {"ssd": 1},
        "accelerator": "A100",
        "strategy": "SPREAD",
    }
    assert parameters(resources(asked, max_attempts=5)) == {
        "num_cpus": 0.5,
        "num_gpus": 0.25,
        "memory": 4 * 1024**3,
        "resources": {"ssd": 1.0},
        "accelerator_type": "A100",
        "scheduling_strategy": "SPREAD",
        "max_retries": 4,
    }


def test_each_rank_of_ray_train_has_the_same():
    asked = {"gpus": 1, "memory": "1G", "custom": {"ssd": 2}}
    assert bundle(resources(asked, processes=2, threads=3)) == {
        "CPU": 3.0,
        "GPU": 1.0,
        "memory": 1024.0**3,
        "ssd": 2.0,
    }


def test_threads_are_the_cores_unless_cpus_says_otherwise():
    assert parameters(resources(threads=4))["num_cpus"] == 4
    assert parameters(resources({"cpus": 1}, threads=4))["num_cpus"] == 1


def test_every_field_is_named_in_what_translates_it():
    for name in RayOptions.model_fields:
        assert f"ray.{name}" in parameters.__doc__, name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": "cuda:1"}, "device = 'cuda:1'"),
        ({"device": "cuda"}, "ray.gpus must say"),
        ({"device": "cpu", "ray": {"gpus": 1}}, "ray.gpus = 1"),
        ({"ray": {"gpus": 2}}, "use processes for more"),
        ({"processes": 2, "ray": {"gpus": 0.5}}, "a whole GPU each"),
        ({"ray": {"accelerator": "A100"}}, "ray.accelerator = 'A100'"),
        ({"processes": 2, "ray": {"gpus": 1, "accelerator": "A100"}}, "allowed only if one process trains"),
    ],
)
def test_what_no_task_can_have_is_refused_by_name(given, said):
    with pytest.raises(SettingError, match=said):
        parameters(Resources.parse(given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpu": 1}, r"ray.gpu = 1: no such field; did you mean 'gpus'\?"),
        ({"gpus": 1.5}, "a part of one, such as 0.25, or a whole number"),
        ({"gpus": 0}, "ray.gpus = 0"),
        ({"gpus": True}, "not a truth value"),
        ({"cpus": "two"}, "ray.cpus = 'two'"),
        ({"memory": "a lot"}, "512M or 4G"),
        ({"memory": "0G"}, "512M or 4G"),
        ({"custom": {"GPU": 1}}, "GPU can't be set here: use gpus"),
        ({"custom": [1]}, "a mapping of Ray's custom resources"),
        ({"address": "somewhere"}, "auto, HOST:PORT, ray://HOST:PORT"),
        ({"address": "ftp://host:1"}, "auto, HOST:PORT, ray://HOST:PORT"),
        ({"strategy": "PACK"}, "ray.strategy = 'PACK'"),
        ({"fit": "maybe"}, "ray.fit = 'maybe'"),
        ({"environment": ["A B"]}, "ray.environment"),
        ({"stop_seconds": 0}, "ray.stop_seconds = 0"),
    ],
)
def test_what_is_no_option_is_refused_with_what_is_allowed(given, said):
    with pytest.raises(SettingError, match=said):
        RayOptions.parse(given)


@pytest.mark.parametrize(
    "address", ["auto", "head:6379", "127.0.0.1:6379", "ray://head:10001", "http://h:8265"]
)
def test_addresses_are_those_that_ray_takes(address):
    assert RayOptions.parse({"address": address}).address == address


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 * 1024**2), ("1.5G", 3 * 1024**3 // 2), ("2GiB", 2 * 1024**3)]
)
def test_sizes_are_powers_of_1024(text, size):
    assert RayOptions.parse({"memory": text}).memory_bytes == size


def test_places_are_counted_a_node_at_a_time():
    nodes = [
        Node(name="a", has={"CPU": 3.0, "GPU": 1.0}),
        Node(name="b", has={"CPU": 8.0}),
        Node(name="c", has={"CPU": 1.0, "GPU": 4.0}),
    ]
    assert places(nodes, {"CPU": 2.0}) == 5
    assert places(nodes, {"CPU": 0.5, "GPU": 0.25}) == 4 + 2
    assert places(nodes, {"CPU": 2.0, "GPU": 1.0}) == 1
    assert places(nodes, {"TPU": 1.0}) == 0
    assert places([Node(name="d", has={"GPU": 1.0})], {"GPU": 0.1}) == 10


def test_the_command_survives_spaces_and_quotes_and_its_output_goes_into_the_job_s_log(store):
    import shlex

    request = JobRequest(job_id="it's-1", layout=store, resources=resources({"memory": "1G"}, threads=2))
    redirect, command = entrypoint(request).split("; ", 1)
    assert shlex.split(redirect)[2] == str(store.root.resolve() / "jobs" / "it's-1.log")
    words = shlex.split(command)
    assert words[2:4] == ["-P", "-m"]
    assert words[4:7] == ["tausweep.orchestrator.executors.ray.driver", str(store.root.resolve()), "it's-1"]
    import json

    assert Resources.parse(json.loads(words[7])) == request.resources


def test_variables_are_passed_on_by_name_and_a_missing_one_is_said(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "somewhere")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    assert environment(resources({"environment": ["AWS_REGION"]}))["AWS_REGION"] == "somewhere"
    with pytest.raises(InputError, match="AWS_PROFILE is not set here"):
        environment(resources({"environment": ["AWS_PROFILE"]}))


def test_ray_waits_longer_for_a_cancelled_job_than_the_job_for_its_checkpoints():
    assert int(environment(resources({"stop_seconds": 30}))["RAY_JOB_STOP_WAIT_TIME_S"]) > 30


def test_what_lies_where_ray_was_started_is_not_imported():
    assert environment(resources({}))["PYTHONSAFEPATH"] == "1"
