"""The median over seeds is given where it does not move with what is not known, and bounded elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.medians import medians
from tausweep.orchestrator.analysis.runs.results import RunTimescales

NAME = MemorisedFraction().name


def median_of(*crossings):
    runs = [
        RunTimescales(W=16, p=1, optimizer="adam", batch="n", settings={}, run_id=str(i), state="running", n=32,
                      seed=i, subset=0, budget=1000, crossings={NAME: found})
        for i, found in enumerate(crossings)
    ]  # fmt: skip
    drawn = {(run.run_id, NAME): np.full(20, run.crossings[NAME].log_tau) for run in runs}
    (found,) = medians(runs, [MemorisedFraction()], drawn, np.random.default_rng(0))
    return found


def at(tau):
    return Crossing(tau, None, None)


def after(bound):
    return Crossing(None, "right", bound)


def before(bound):
    return Crossing(None, "left", bound)


@pytest.mark.parametrize(
    ("crossings", "estimate", "censored", "bound"),
    [
        ([at(100), at(400)], 200, None, None),
        ([at(500), at(520), after(1000)], 520, None, None),
        ([before(30), at(500), at(520)], 500, None, None),
        ([at(500), after(1000)], None, "right", np.sqrt(500 * 1000)),
        ([before(30), at(500)], None, "left", np.sqrt(30 * 500)),
        ([before(30), after(1000)], None, None, None),
        ([after(None), at(10), at(20)], None, "right", 10),
    ],
)
def test_the_median_of_runs(crossings, estimate, censored, bound):
    found = median_of(*crossings)
    assert found.tau.estimate == (None if estimate is None else pytest.approx(estimate))
    assert found.censored == censored
    assert found.bound == (None if bound is None else pytest.approx(bound))


def test_a_run_that_was_cut_off_early_is_not_taken_for_a_late_one():
    # It may cross at once after tau = 100, and the median is 500 then, not 520.
    found = median_of(at(500), at(520), after(100))
    assert (found.tau.estimate, found.censored, found.bound) == (None, "right", pytest.approx(500))
