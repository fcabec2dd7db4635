"""Laws over n and W keep what bounds them, and leave out, by name, what can say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.laws.power_laws import Crossed, fit_law


def runs(W, last, *, group="adam", slower=1.0, noise=0.1, seed=0, n_values=(16, 32, 64, 128)):
    """tau = 20·slower·n·16/W, seen up to a budget."""
    rng = np.random.default_rng(seed)
    made = []
    for n in n_values:
        for replicate in range(2):
            tau = float(20 * slower * n * 16 / W * np.exp(noise * rng.normal()))
            late = Crossing(None, "right", last)
            made.append(Crossed(f"{group}-{W}-{n}-{replicate}", n, W, group,
                                late if tau > last else Crossing(tau, None, None)))  # fmt: skip
    return made


def test_widths_of_which_none_crossed_do_not_touch_the_law_of_the_one_that_did():
    seen, silent = runs(16, 10_000), runs(4, 100)
    alone = fit_law(seen, widths=False, confidence=0.95)
    law = fit_law([*seen, *silent], widths=True, confidence=0.95)
    assert law.exponent == alone.exponent
    assert law.width_exponent.estimate is None
    assert law.interval_note == (
        "no exponent of W: runs were seen to cross at W = 16 only, and those of W = 4 are left out"
    )
    assert law.n_censored == 8


def test_a_group_of_which_none_crossed_is_left_out_by_name():
    law = fit_law([*runs(16, 10_000), *runs(16, 100, group="sgd")], widths=True, confidence=0.95)
    assert law.groups == ["adam"]
    assert "left out, as none of their runs was seen to cross: sgd" in law.interval_note


def test_a_censored_width_bounds_the_exponent_of_width_if_others_give_it():
    law = fit_law([*runs(16, 10_000), *runs(32, 10_000, seed=1), *runs(8, 100)], widths=True, confidence=0.95)
    assert law.width_exponent.low < 1 < law.width_exponent.high
    assert law.interval_note is None


def test_runs_that_had_crossed_by_the_first_evaluation_are_not_called_late():
    early = [run._replace(crossing=Crossing(None, "left", 30)) for run in runs(16, 10_000)]
    law = fit_law(early, widths=False, confidence=0.95)
    assert law.reason == (
        "none of 8 runs was seen to cross within its budget; 8 had crossed by the first evaluation"
    )


@pytest.mark.parametrize("n_values", [(16,), ()])
def test_too_little_gives_no_exponent_but_a_reason(n_values):
    law = fit_law([*runs(16, 10_000, n_values=n_values), *runs(16, 10)], widths=False, confidence=0.95)
    assert law.exponent.estimate is None
    assert law.reason
