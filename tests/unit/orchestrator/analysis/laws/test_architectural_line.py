"""The architectural line: found where it was planted, not claimed where it was not."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.laws.architectural_line import fit_limit
from tausweep.orchestrator.analysis.laws.power_laws import Crossed

SIZES = (4, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48)


def planted(n_star, budget, rng, *, seeds=2, noise=0.1, sizes=SIZES):
    runs = []
    for n in sizes:
        for seed in range(seeds):
            tau = 30 * n / (1 - n / n_star) * np.exp(noise * rng.normal()) if n < n_star else np.inf
            found = Crossing(tau, None, None) if tau <= budget else Crossing(None, "right", budget)
            runs.append(Crossed(f"{n}-{seed}", n, 16, "adam", found))
    return runs


def test_a_planted_line_is_found():
    limit = fit_limit(planted(30, 20_000, np.random.default_rng(0)), 0.95)
    assert limit.low < 30 < limit.high
    assert limit.estimate == pytest.approx(30, rel=0.1)


def test_a_power_law_leaves_the_line_open_above():
    limit = fit_limit(planted(np.inf, 20_000, np.random.default_rng(0)), 0.95)
    assert limit.high is None
    assert limit.low > 48


def test_intervals_hold_planted_lines():
    rng = np.random.default_rng(5)
    found = [fit_limit(planted(30, 3000, rng), 0.95) for _ in range(40)]
    assert np.mean([limit.low <= 30 and (limit.high is None or limit.high >= 30) for limit in found]) >= 0.875


def test_crossings_at_two_n_say_nothing():
    limit = fit_limit(planted(np.inf, 200, np.random.default_rng(0)), 0.95)
    assert limit.estimate is None
    assert limit.reason.endswith("three are needed")
