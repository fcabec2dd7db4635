"""A boundary is drawn through the widths that were trained to its tau, and through no other."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import pyarrow as pa
import pytest

from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.last_boundaries import last_boundaries
from tausweep.orchestrator.analysis.runs.results import Estimate
from tausweep.orchestrator.figures.n_star import (
    boundaries_at,
    earlier_boundaries,
    line_at,
    lines_in_sight,
    open_at,
)
from tests.unit.orchestrator.synthetic_study import Tables, resolved, study


@pytest.fixture(scope="module")
def result():
    """W = 8 trained to 6,000 and W = 16 to 1,500."""
    parts = [
        study(widths=(W,), steps=steps, seeds=(0, 1), samples=60) for W, steps in ((8, 6000), (16, 1500))
    ]
    tables = Tables(
        **{one.name: pa.concat_tables([getattr(part, one.name) for part in parts]) for one in fields(Tables)}
    )
    return resolved(tables, draws=1).result


def column(result):
    return replace(condition_of(result.runs[0]), W=0)


def test_no_boundary_lies_beyond_what_its_width_was_trained_to(result):
    assert max(at.budget for at in result.boundaries if at.W == 8) == 6000
    assert max(at.budget for at in result.boundaries if at.W == 16) == 1500
    assert [(at.W, at.budget) for at in last_boundaries(result)] == [(8, 6000), (16, 1500)]


def test_a_slider_beyond_a_width_keeps_its_last_boundary(result):
    assert [(at.W, at.budget) for at in boundaries_at(result, 6000)] == [(8, 6000), (16, 1500)]
    assert [(at.W, at.budget) for at in boundaries_at(result, 1500)] == [(8, 1500), (16, 1500)]


def test_several_boundaries_are_drawn_at_least_a_factor_of_two_apart(result):
    drawn = earlier_boundaries(result, column(result))
    budgets = [one.budget for one in drawn]
    assert 2 <= len(drawn) <= 3
    assert all(later >= 1.99 * earlier for earlier, later in pairwise([*budgets, 6000]))
    for one in drawn:
        assert all(at.budget == one.budget and at.n_star.estimate is not None for at in one.ends)
        assert one.budget <= 1500 or [at.W for at in one.ends] == [8]


def test_n_star_of_the_drawn_boundaries_grows_with_tau(result):
    narrow = [
        at.n_star.estimate
        for one in earlier_boundaries(result, column(result))
        for at in one.ends
        if at.W == 8
    ]
    assert len(narrow) > 1
    assert narrow == sorted(narrow)


def test_a_line_without_an_estimate_is_drawn_at_its_lower_bound_while_that_is_in_sight(result):
    first, second = result.lines
    near = first.model_copy(update={"n_star": Estimate(low=200.0), "converged": False})
    far = second.model_copy(update={"n_star": Estimate(low=5000.0), "converged": False})
    changed = result.model_copy(update={"lines": [near, far]})
    assert line_at(near) == 200.0
    assert lines_in_sight(changed) == [near]
    assert open_at(changed) == "6,000"
    assert line_at(near.model_copy(update={"n_star": Estimate()})) is None
