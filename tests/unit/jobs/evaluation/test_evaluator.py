"""Where generated samples start: at noise of their own seeds, whatever else is computed beside them."""

from __future__ import annotations

import pytest
import torch

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.load import load
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation.evaluator import Evaluator
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
