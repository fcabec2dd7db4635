"""A worker's options: as one JSON argument from whoever starts it, as flags by hand, with the same meaning."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from tausweep.storage.errors import InputError
from tausweep.workers.options import WorkerOptions, WorkerResources, add_flags, options_of


def parsed(*arguments: str) -> WorkerOptions:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return options_of(vars(parser.parse_args(arguments)))


def test_nothing_said_is_the_defaults():
    assert parsed() == WorkerOptions()


@pytest.mark.parametrize(
    "options",
    [
        WorkerOptions(),
        WorkerOptions(checkpoint_seconds=None, keep_checkpoints=(3, 7), wait=False, parent=12, job_id="a-1"),
        WorkerOptions(keep_checkpoints="evaluations", wall_seconds=0.5, device="cuda:1", processes=2),
    ],
)
@pytest.mark.parametrize("short", [False, True])
def test_options_travel_as_json(options: WorkerOptions, short: bool):
    assert parsed("--options", options.model_dump_json(exclude_defaults=short)) == options


def test_flags_mean_the_same():
    by_hand = parsed(
        *("--checkpoint-seconds", "inf", "--keep-checkpoints", "3,7", "--no-wait"),
        *("--parent", "12", "--job-id", "a-1", "--threads", "2", "--wall-seconds", "90"),
    )
    assert by_hand == WorkerOptions(
        checkpoint_seconds=None,
        keep_checkpoints=(3, 7),
        wait=False,
        parent=12,
        job_id="a-1",
        threads=2,
        wall_seconds=90,
    )


def test_a_flag_goes_before_the_json():
    """A SLURM job knows only when it starts how long it may last."""
    options = WorkerOptions(wall_seconds=600, threads=3)
    assert parsed("--options", options.model_dump_json(), "--wall-seconds", "50").wall_seconds == 50


def test_all_that_a_sweep_file_may_say_of_workers_is_an_option():
    assert set(WorkerResources.model_fields) < set(WorkerOptions.model_fields)


def test_every_option_says_what_it_is():
    assert [name for name, field in WorkerOptions.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--threads", "0"), "--threads 0: Input should be greater than or equal to 1"),
        (("--heartbeat-seconds", "soon"), "--heartbeat-seconds soon: .*valid number"),
        (("--keep-checkpoints", "3,x"), "--keep-checkpoints .*a list of steps"),
        (("--options", '{"thread": 1}'), "--thread 1: Extra inputs"),
        (("--options", "{"), "--options .*JSON"),
    ],
)
def test_what_is_wrong_is_told_by_name_and_value(arguments: tuple[str, ...], words: str):
    with pytest.raises(InputError, match=words):
        parsed(*arguments)


def test_options_load_no_torch():
    code = "import sys, tausweep.workers.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
