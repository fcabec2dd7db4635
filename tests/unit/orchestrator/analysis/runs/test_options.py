"""How a sweep is resolved is one value: checked when it is made, with the usual criteria where none is given."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.runs.curves import read_curves
from tausweep.orchestrator.analysis.runs.default_criteria import criteria_for
from tausweep.orchestrator.analysis.runs.options import ResolverOptions, parse_options
from tausweep.storage.errors import InputError
from tests.unit.orchestrator.synthetic_study import study


def test_the_words_of_the_command_line_are_options():
    options = parse_options("1/2", ["f_mem=0.2"], isotonic=True)
    assert options == ResolverOptions(k=0.5, criteria=(MemorisedFraction(level=0.2),), smoothing="isotonic")


def test_no_words_are_the_defaults():
    assert parse_options("1/3", None, isotonic=False) == ResolverOptions()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draws = 0: at least one"),
        ({"k": 2.0}, "0 < k ≤ 1"),
        ({"smoothing": "istonic"}, "did you mean 'isotonic'"),
        ({"criteria": (MemorisedFraction(), MemorisedFraction())}, "f_mem=0.1: is given twice"),
    ],
)
def test_what_is_wrong_is_told_when_the_options_are_made(options, words):
    with pytest.raises(InputError, match=words):
        ResolverOptions(**options)


def test_the_usual_criteria_stand_in_for_none_and_for_none_only():
    runs = read_curves(*study(n_values=(16,), seeds=(0,)).measured, k=1 / 3)
    assert ResolverOptions().for_runs(runs).criteria == criteria_for(runs)
    chosen = ResolverOptions(criteria=(MemorisedFraction(level=0.5),))
    assert chosen.for_runs(runs) == chosen
