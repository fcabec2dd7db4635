"""What a sweep may ask of SLURM, and how it is translated: each field is mapped, or refused by its name."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.orchestrator.executors.base import JobRequest, worker_arguments
from tausweep.orchestrator.executors.slurm.array import batch_script, budget, parameters
from tausweep.orchestrator.executors.slurm.executor import slurm_job
from tausweep.orchestrator.executors.slurm.file_system import require_shared
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.slurm_options import SlurmOptions, minutes
from tausweep.storage.errors import InputError, SettingError
from tausweep.storage.files.object_store import location
from tausweep.storage.layout import StoreLayout


def resources(slurm: dict[str, object] | None = None, **others: object) -> Resources:
    return Resources.parse({**others, "slurm": slurm or {}})


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("0:30", 1),
        ("90:01", 91),
        ("4:00:00", 240),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("2-00:00:01", 48 * 60 + 1),
    ],
)
def test_a_time_limit_has_any_of_slurm_s_forms(time, expected):
    assert minutes(time) == expected


@given(st.integers(0, 40), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_time_limit_is_never_rounded_down(days, hours, mins, seconds):
    length = timedelta(days=days, hours=hours, minutes=mins, seconds=seconds)
    text = f"{days}-{hours:02}:{mins:02}:{seconds:02}"
    if not length:
        with pytest.raises(ValueError, match=text):
            minutes(text)
    else:
        assert timedelta(0) <= timedelta(minutes=minutes(text)) - length < timedelta(minutes=1)


@pytest.mark.parametrize("time", ["", "soon", "1:2:3:4", "-5", "0", "1-", "1.5", True, 4.5, None, []])
def test_what_is_no_time_limit_is_refused(time):
    with pytest.raises(SettingError, match=r"slurm\.time"):
        SlurmOptions.parse({"time": time})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"partion": "gpu"}, r"slurm\.partion = 'gpu': no such field; did you mean 'partition'"),
        ({"nodes": 0}, r"slurm\.nodes = 0: .*greater than or equal to 1"),
        ({"mem": "lots"}, r"slurm\.mem = 'lots'"),
        ({"partition": "a b"}, r"slurm\.partition"),
        ({"gpus": True}, r"slurm\.gpus = True: a number or a word is needed"),
        ({"sbatch": {"array": "0-3"}}, r"array can't be set here: tausweep sets it from the runs"),
        ({"sbatch": {"--time": "5"}}, r"time can't be set here: use time"),
        ({"sbatch": {"exclude": None}}, r"exclude needs a word, a number or true"),
        ({"sbatch": {"comment": "a\nb"}}, r"comment needs a word"),
        ({"sbatch": {"Exclude Me": "n1"}}, r"not a long option"),
        ({"sbatch": ["exclude"]}, r"a mapping of long options is needed"),
        ([], r"slurm = \[\]: a mapping"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(given, words):
    with pytest.raises(SettingError, match=words):
        Resources.parse({"slurm": given})


MAPPED = {
    "partition": ("gpu", "partition", "gpu"),
    "account": ("me", "account", "me"),
    "qos": ("high", "qos", "high"),
    "constraint": ("a100|h100", "constraint", "a100|h100"),
    "time": ("1-00:00:00", "time", 1440),
    "cpus": (6, "cpus_per_task", 6),
    "mem": ("16G", "mem", "16G"),
    "warn_seconds": (90, "signal_delay_s", 90),
    "setup": (["module load cuda"], "setup", ["module load cuda"]),
    "sbatch": ({"exclude": "n7"}, "additional_parameters", {"requeue": True, "exclude": "n7"}),
}


@pytest.mark.parametrize("field", MAPPED)
def test_a_field_is_what_sbatch_is_asked_for(field):
    value, name, expected = MAPPED[field]
    assert parameters(resources({field: value}))[name] == expected
    assert parameters(resources()).get(name) != expected


def test_no_field_is_dropped():
    elsewhere = {
        "nodes",
        "gpus",
        "runs_per_job",
        "margin_seconds",
        "python",
    }  # tested below, and in test_feeding
    assert set(SlurmOptions.model_fields) == set(MAPPED) | elsewhere


@pytest.mark.parametrize(("time", "seconds"), [("1", 6), ("5", 30), ("10", 60), ("1-0", 60)])
def test_the_warning_comes_a_minute_before_the_limit_or_later_where_that_is_short(time, seconds):
    assert parameters(resources({"time": time}))["signal_delay_s"] == seconds


def test_ranks_of_one_node_are_the_worker_s_and_those_of_several_are_tasks():
    alone = parameters(resources(processes=4, threads=2))
    assert (alone["nodes"], alone["ntasks_per_node"], alone["cpus_per_task"]) == (1, 1, 8)
    spread = parameters(resources({"nodes": 2}, processes=4, threads=2))
    assert (spread["nodes"], spread["ntasks_per_node"], spread["cpus_per_task"]) == (2, 2, 2)


def test_gpus_are_those_of_the_whole_job():
    found = parameters(resources({"nodes": 2, "gpus": 8}, processes=8))
    assert (found["gpus_per_node"], found["ntasks_per_node"]) == (4, 4)
    assert "gpus_per_node" not in parameters(resources())


def test_workers_are_the_jobs_that_run_at_once():
    assert parameters(resources(workers=7))["array_parallelism"] == 7
    assert parameters(resources())["array_parallelism"] >= 1_000_000


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (resources({"nodes": 2}, processes=3), r"slurm\.nodes = 2: processes = 3 cannot be spread evenly"),
        (resources({"nodes": 2, "gpus": 3}, processes=2), r"gpus = 3 cannot be spread evenly"),
        (resources({"gpus": 1}, device="cpu"), r"slurm\.gpus = 1: device = cpu needs no GPU"),
        (resources(device="cuda"), r"device = 'cuda': slurm\.gpus must say how many"),
        (resources({"time": "1", "warn_seconds": 60}), r"slurm\.warn_seconds = 60: time = 1 is over before"),
        (resources({"gpus": 1}, processes=2), r"slurm\.gpus = 1: processes = 2 need one GPU each"),
        (
            resources({"time": "1", "margin_seconds": 60}),
            r"slurm\.time = '1': margin_seconds = 60 leaves no time",
        ),
    ],
)
def test_what_no_job_can_have_is_refused(asked, words):
    with pytest.raises(SettingError, match=words):
        parameters(asked)


def test_a_worker_s_budget_is_the_time_limit_less_a_margin_or_the_user_s_own_if_less():
    assert budget(resources({"time": "10", "margin_seconds": 20})) == 580
    assert budget(resources({"time": "10"}, wall_seconds=100)) == 100
    assert budget(resources({"time": "1"}, wall_seconds=100)) == 50


def test_a_job_runs_the_worker_s_entry_point_by_the_python_that_is_asked_for(store: StoreLayout):
    asked = resources({"python": "apptainer exec 'my image.sif' python3", "time": "10"})
    request = JobRequest(job_id="tiny-0", layout=store, resources=asked)
    job = slurm_job(request)
    assert job.command[:4] == ("apptainer", "exec", "my image.sif", "python3")
    assert job.command[4:] == tuple(worker_arguments(request))
    assert job.seconds == budget(asked)
    assert job.ranks == 1


def test_a_store_that_nodes_cannot_have_is_refused():
    with pytest.raises(InputError, match="need a folder that all nodes see"):
        require_shared(StoreLayout(location("s3://bucket/store")))


def test_what_lies_where_a_job_was_submitted_is_not_imported(store: StoreLayout, tmp_path, monkeypatch):
    srun = tmp_path / "srun"  # submitit looks for it, and does not call it
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    script = batch_script(store, resources({"time": "10"}), name="tiny", tasks=2)
    assert f"{sys.executable} -P -u -m submitit.core._submit" in script
