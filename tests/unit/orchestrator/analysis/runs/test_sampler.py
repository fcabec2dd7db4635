"""A sampler in words."""

from __future__ import annotations

from typing import Any

import pytest

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.analysis.runs.sampler import sampler_name
from tests.conftest import SETTINGS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ddim_steps": 50}, "DDIM, 50 steps"),
        ({"ddim_steps": 50, "eta": 1}, "DDIM, 50 steps, eta 1"),
        ({"ddim_steps": 50, "eta": 0.5}, "DDIM, 50 steps, eta 0.5"),
        ({"ddim_steps": 50, "eta": 0, "sampler": "ddim"}, "DDIM, 50 steps"),
        ({"sampler": "ancestral"}, "ancestral, 1,000 steps"),
        ({"objective": "flow_matching", "ddim_steps": 12}, "Euler, 12 steps"),
        ({"objective": "flow_matching", "ddim_steps": 12, "sampler": "heun"}, "Heun, 12 evaluations"),
        ({"objective": "interpolant", "ddim_steps": 12}, "SDE, 12 steps"),
    ],
)
def test_the_sampler_of_a_run_is_named_with_its_steps_and_eta(settings: dict[str, Any], words: str) -> None:
    assert sampler_name(RunSpec.from_settings({**SETTINGS, **settings}).settings()) == words


def test_settings_without_steps_name_no_sampler() -> None:
    assert sampler_name({"n": 4}) is None
