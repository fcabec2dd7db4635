"""What has a colour has a mark of its own, and the report has those of the printed figures."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.figures.palette import (
    BOUNDARY,
    CONVERGED_LINE,
    OPEN_LINE,
    STATES,
    as_json,
    size_colours,
)

MARKS = [*STATES.values(), BOUNDARY, CONVERGED_LINE, OPEN_LINE]


def test_no_two_marks_of_the_phase_diagram_have_one_shape():
    assert len({mark.marker for mark in MARKS}) == len(MARKS)


def test_the_report_has_a_symbol_for_each_and_the_same_colours():
    page = as_json(3)
    marks = [*page["states"].values(), page["boundary"], page["line"]["converged"], page["line"]["open"]]
    assert [(mark["words"], mark["colour"]) for mark in marks] == [
        (mark.words, mark.colour) for mark in MARKS
    ]
    assert len({mark["symbol"] for mark in marks}) == len(marks)


@pytest.mark.parametrize("dark", [False, True])
def test_every_n_has_a_colour_of_its_own(dark):
    assert len(set(size_colours(7, dark=dark))) == 7
    assert len(size_colours(1, dark=dark)) == 1
