"""States of a point count the runs that say something about its budget, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.orchestrator.analysis.criteria.crossing import Crossing, crossing
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.phase_diagram import boundaries, budgets_of, phase_points
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.analysis.statistics.boundary_posterior import DecidedRun, decide


def run(seed, mem, gen, budget):
    return RunTimescales(W=16, p=1, optimizer="adam", batch="n", settings={}, run_id=str(seed), state="succeeded", n=32,
                         seed=seed, subset=0, budget=budget, crossings={"mem": mem, "gen": gen})  # fmt: skip


def at(tau):
    return Crossing(tau, None, None)


def after(bound):
    return Crossing(None, "right", bound)


def point(*runs, budget=None):
    (found,) = phase_points(runs, "mem", "gen", budget)
    return found


def test_runs_that_ended_before_the_largest_budget_do_not_outvote_one_that_memorises():
    found = point(
        run(0, at(800), at(50), 1000), run(1, after(100), at(50), 100), run(2, after(100), at(50), 100)
    )
    assert (found.state, found.n_crossed, found.n_runs, found.budget) == ("memorises", 1, 1, 1000)


@pytest.mark.parametrize(
    ("budget", "state"), [(1000, "memorises"), (700, "generalises"), (40, "not yet good")]
)
def test_a_smaller_budget_asks_what_was_reached_by_then(budget, state):
    assert point(run(0, at(800), at(50), 1000), budget=budget).state == state


def test_beyond_its_largest_budget_a_point_is_as_it_was_there():
    reached = point(run(0, after(100), at(60), 100), budget=500)
    assert (reached.state, reached.budget) == ("generalises", 100)


def test_beyond_its_last_budget_a_condition_has_no_boundary():
    runs = [run(0, at(80), at(50), 100)]
    assert [len(boundaries(runs, "mem", budget, 0.95)) for budget in (100, 101)] == [1, 0]


def test_the_last_budget_of_every_condition_is_among_the_budgets():
    short, long = run(0, at(80), at(50), 123), run(1, at(80), at(50), 1000).model_copy(update={"W": 8})
    assert {123, 1000} <= set(budgets_of([short, long], "mem"))
    assert budgets_of([run(0, after(100), after(100), 100)], "mem") == [100]


@pytest.mark.parametrize("last", [900, 1800, 2300, 5000])  # exp(ln T) > T
def test_a_run_that_crosses_at_its_last_step_memorises_in_the_law_and_in_the_diagram(last):
    seen = crossing(MemorisedFraction(), np.array([100, last]), np.array([0.0, 0.1]))
    found = point(run(0, seen, at(50), last))
    assert (found.state, found.tau_mem) == ("memorises", last)
    assert decide(32, seen, last) == DecidedRun(32, True)
    assert boundaries([run(0, seen, at(50), last)], "mem", last, 0.95)[0].n_memorising == 1
