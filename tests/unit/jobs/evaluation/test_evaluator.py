"""Where generated samples start, and end: they follow from their own seeds, whatever else is computed beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.load import load
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation import evaluator
from tausweep.jobs.evaluation.evaluator import Evaluator
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours
from tausweep.jobs.models.build import build_model
from tausweep.jobs.ranks import Ranks
from tests.unit.jobs.training.test_loop import CPU, spec


def starts(**changes: object) -> torch.Tensor:
    run_spec = spec(**changes)
    split = load(run_spec.data, digits(), None)
    return Evaluator(run_spec, split, build_objective(run_spec.objective, CPU), CPU, Ranks()).starts


@pytest.mark.parametrize("changes", [{"batch": 2}, {"n": 9}, {"lr": 0.1}, {"loss_pairs": 4}])
def test_samples_start_from_the_seed_alone(changes: dict[str, object]) -> None:
    assert torch.equal(starts(**changes), starts())
    assert not torch.equal(starts(seed=1), starts())


def test_more_samples_begin_with_the_same() -> None:
    assert torch.equal(starts(samples=20)[:12], starts(samples=12))


def nearest(**changes: Any) -> Neighbours:
    """The two nearest training images of each sample of an untrained network."""
    run_spec = spec(**changes)
    split = load(run_spec.data, digits(), None)
    objective = build_objective(run_spec.objective, CPU)
    torch.manual_seed(0)
    model = build_model(run_spec.model, run_spec.data.shape)
    near = Evaluator(run_spec, split, objective, CPU, Ranks()).measure(model).neighbours
    assert near is not None
    return near


SAMPLERS: list[dict[str, Any]] = [
    {},
    {"eta": 0.5},
    {"eta": 1},
    {"sampler": "ancestral", "ddim_steps": 60, "timesteps": 60, "loss_t": [5]},
]
samplers = pytest.mark.parametrize("sampler", SAMPLERS, ids=str)


@samplers
def test_samples_do_not_depend_on_how_many_are_generated_at_once(
    sampler: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = nearest(**sampler)
    monkeypatch.setattr(evaluator, "_CHUNK", 5)
    np.testing.assert_allclose(nearest(**sampler).d1, whole.d1, rtol=1e-4)


def test_noise_on_the_way_makes_other_samples() -> None:
    means = {float(np.mean(nearest(**sampler).d1)) for sampler in SAMPLERS}
    assert len(means) == len(SAMPLERS)
