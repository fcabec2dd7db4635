"""The noise of stochastic samplers: standard normal, and of its own for each starting point."""

from __future__ import annotations

import hashlib

import pytest
import torch

from tausweep.jobs.diffusion.increments import increments

at_once = pytest.mark.parametrize("at_once", [None, 16, 50])


@pytest.fixture
def starts() -> torch.Tensor:
    return torch.randn(400, 8, generator=torch.Generator().manual_seed(2))


@at_once
def test_increments_are_standard_normal_and_their_own_for_each_start(
    starts: torch.Tensor, at_once: int | None
) -> None:
    drawn = torch.stack(list(increments(starts, 50, at_once)))
    assert drawn.shape == (50, 400, 8)
    assert abs(drawn.mean().item()) < 0.01
    assert abs(drawn.std().item() - 1) < 0.01
    correlation = torch.corrcoef(drawn.transpose(0, 1).flatten(1))
    assert (correlation - torch.eye(400)).abs().max() < 0.3


@at_once
def test_increments_do_not_depend_on_the_starts_beside_theirs(
    starts: torch.Tensor, at_once: int | None
) -> None:
    together = torch.stack(list(increments(starts[:5], 20, at_once)))
    apart = [torch.stack(list(increments(start[None], 20, at_once))) for start in starts[:5]]
    assert torch.equal(together, torch.cat(apart, dim=1))


def test_all_at_once_are_those_that_a_generator_seeded_by_the_start_draws(starts: torch.Tensor) -> None:
    digest = hashlib.sha256(starts[3].numpy().tobytes()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") // 2)
    expected = torch.randn(7, 8, generator=generator)
    assert torch.equal(torch.stack(list(increments(starts, 7)))[:, 3], expected)


@at_once
def test_no_steps_and_no_starts_have_no_increments(starts: torch.Tensor, at_once: int | None) -> None:
    assert list(increments(starts, 0, at_once)) == []
    assert [step.shape for step in increments(starts[:0], 2, at_once)] == [(0, 8), (0, 8)]
