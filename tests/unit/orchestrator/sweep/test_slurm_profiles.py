"""Profiles of a site: found by name or by file, and the sweep's own word wins."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.executors.slurm.array import parameters
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.slurm_profiles import read_profile, shipped_profiles, with_profile
from tausweep.storage.errors import SweepFileError


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_a_shipped_profile_is_what_a_job_can_have(name):
    processes = 8 if name == "two-nodes" else 1
    found = with_profile(Resources.parse({"processes": processes}), read_profile(name))
    assert parameters(found)["partition"] in ("gpu", "main")


def test_a_profile_of_one_s_own_is_a_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("partition: gpu\ntime: 4:00:00\nsbatch: {exclude: n7, comment: hi}\n")
    resources = Resources.parse({"slurm": {"time": "10", "sbatch": {"comment": "mine"}}})
    found = with_profile(resources, read_profile(str(file))).slurm
    assert (found.partition, found.minutes) == ("gpu", 10)
    assert found.sbatch == {"exclude": "n7", "comment": "mine"}


def test_no_such_profile_is_told_with_the_nearest(tmp_path):
    with pytest.raises(SweepFileError, match=r"--profile one-gup: .*did you mean 'one-gpu'"):
        read_profile("one-gup")
    with pytest.raises(SweepFileError, match=r"nowhere\.yaml"):
        read_profile(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "time: 4:00:00\npartion: gpu\n",
            r"mine.yaml:2: partion = 'gpu': no such field; did you mean 'partition'",
        ),
        ("partition: gpu\nnodes: many\n", r"mine.yaml:2: nodes = 'many'"),
        ("- partition\n", r"mine.yaml"),
        ("time: later\n", r"mine.yaml:1: time = 'later': a time limit is needed"),
    ],
)
def test_what_is_wrong_in_a_profile_is_told_with_file_and_line(tmp_path, text, words):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SweepFileError, match=words):
        read_profile(str(file))
