"""The architectural line: found where it was planted, not claimed where it was not."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.orchestrator.analysis.laws.architectural_line import FLAT, lines
from tausweep.orchestrator.analysis.laws.competing.competition import compete
from tests.unit.orchestrator.analysis.laws.planted_runs import planted

SIZES = (4, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48)
DOUBLING = (5, 10, 20, 40, 80, 160, 320, 640)


def line_of(tau, budget, rng, *, noise=0.1, sizes=SIZES):
    runs = planted(tau, budget=budget, noise=noise, sizes=sizes, rng=rng)
    (line,) = lines(runs, "f_mem", [compete(runs, "f_mem", "gen", 0.95)], 0.95)
    return line


def before_30(n, _):
    return 30 * n / (1 - n / 30) if n < 30 else np.inf


def floor(n, _):
    return 400 + 25 * n


def test_a_planted_line_is_found_and_has_converged():
    line = line_of(before_30, 20_000, np.random.default_rng(0))
    assert line.n_star.low < 30 < line.n_star.high
    assert line.n_star.estimate == pytest.approx(30, rel=0.1)
    assert line.converged
    assert abs(line.growth) <= FLAT


def test_a_power_law_leaves_the_line_open_above():
    line = line_of(lambda n, _: 30 * n, 20_000, np.random.default_rng(0))
    assert (line.n_star.estimate, line.n_star.high) == (None, None)
    assert line.n_star.low > 48
    assert line.verdict.startswith("not converged")


def test_intervals_hold_planted_lines():
    rng = np.random.default_rng(5)
    found = [line_of(before_30, 3000, rng).n_star for _ in range(30)]
    assert np.mean([n_star.low <= 30 and (n_star.high is None or n_star.high >= 30) for n_star in found]) >= 0.86  # fmt: skip


@pytest.mark.parametrize("seed", [1001, 1002, 1003, 1004])
def test_a_floor_that_is_censored_is_no_line(seed):
    rng = np.random.default_rng(seed)
    line = line_of(floor, 5000, rng, noise=0.06, sizes=DOUBLING)
    assert not line.converged
    assert line.verdict.startswith("not converged: without a line, tau_0 + c·n is not rejected")


@pytest.mark.parametrize(
    "tau", [floor, lambda n, _: 4 * n**1.5, lambda n, _: 400 + 4 * n**1.5], ids=["floor", "steep", "both"]
)
@pytest.mark.parametrize("budget", [5000, 100_000])
def test_no_line_is_claimed_of_laws_without_one(tau, budget):
    rng = np.random.default_rng(7)
    assert not any(line_of(tau, budget, rng, sizes=DOUBLING).converged for _ in range(5))


def test_a_boundary_that_still_moves_has_not_converged():
    line = line_of(before_30, 2000, np.random.default_rng(0), noise=0.03)
    assert line.growth > FLAT
    assert line.verdict == f"not converged: n* still moves with the budget, like tau^{line.growth:.2g}"


def test_a_line_beyond_the_n_that_were_trained_has_not_converged():
    line = line_of(before_30, 50_000, np.random.default_rng(0), noise=0.03, sizes=SIZES[:8])
    assert "may lie beyond the largest n = 22" in line.verdict


def test_crossings_at_two_n_say_nothing():
    line = line_of(lambda n, _: 30 * n, 200, np.random.default_rng(0))
    assert line.n_star.estimate is None
    assert line.verdict.endswith("3 are needed")
