"""`key=value[,value…]`: one language for `where`, for `when` and for overrides."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.orchestrator.sweep.filters import matches, parse_assignment, parse_where, split_values
from tausweep.storage.errors import InputError

ROW = {
    "n": 16,
    "W": 8,
    "lr": 0.001,
    "optimizer": "adam",
    "batch": "min(512, n)",
    "multipliers": [1, 2],
    "attention": [False, True],
    "clip_x0": True,
    "seed": 0,
    "state": "succeeded",
    "p": 4321,
}
words = st.text("abc019.-_ ", min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("8", ["8"]),
        ("8,16", ["8", "16"]),
        (" 8 , 16 ", ["8", "16"]),
        ("min(512, n)", ["min(512, n)"]),
        ("min(512, n),64", ["min(512, n)", "64"]),
        ("[1,2],[1,2,4]", ["[1,2]", "[1,2,4]"]),
        ("{a: 1, b: [2, 3]}", ["{a: 1, b: [2, 3]}"]),
        ("", [""]),
        ("8,", ["8", ""]),
    ],
)
def test_values_are_split_at_commas_outside_brackets(text, pieces):
    assert split_values(text) == pieces


@given(
    pieces=st.lists(
        st.one_of(words, st.lists(words, min_size=1).map(lambda p: f"[{', '.join(p)}]")), min_size=1
    )
)
def test_values_that_are_joined_by_commas_are_split_again(pieces):
    assert split_values(",".join(pieces)) == pieces


@given(text=st.text("ab,([{}])"))
def test_splitting_loses_no_character(text):
    assert ",".join(split_values(text)) == text


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("n=32", "n", [32]),
        ("n=8,16", "n", [8, 16]),
        (" lr = 1e-3 ", "lr", ["1e-3"]),
        ("lr=0.001", "lr", [0.001]),
        ("clip=null", "clip", [None]),
        ("clip_x0=false", "clip_x0", [False]),
        ("batch=min(512, n)", "batch", ["min(512, n)"]),
        ("multipliers=[1, 2]", "multipliers", [[1, 2]]),
        ("name=a=b", "name", ["a=b"]),
    ],
)
def test_an_assignment_is_a_key_and_its_values(text, key, values):
    assert parse_assignment(text) == (key, values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n", "key=value is needed"),
        ("=3", "key=value is needed"),
        ("", "key=value is needed"),
        ("n=", "n has an empty value"),
        ("n=8,,16", "n has an empty value"),
        ("n=[1", "not a value"),
        ("n=2026-13-45", "not a value"),
    ],
)
def test_what_is_no_assignment_is_refused_and_quoted(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_assignment(text)
    assert repr(text) in str(caught.value)


@given(text=st.text(alphabet="n=,[]{}()!&*'\"01- \x00", max_size=20))
def test_any_text_is_an_assignment_or_an_input_error(text):
    with suppress(InputError):
        parse_assignment(text)


def test_filters_are_collected_by_key():
    assert parse_where(["n=8,16", "optimizer=adam"]) == {"n": [8, 16], "optimizer": ["adam"]}


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(
        InputError, match=r"'optimiser=adam': no setting 'optimiser'; did you mean 'optimizer'\?"
    ):
        parse_where(["optimiser=adam"])


def test_names_besides_the_settings_are_known_where_they_are_allowed():
    assert parse_where(["state=failed"], extra=["state"]) == {"state": ["failed"]}
    with pytest.raises(InputError, match="no setting 'state'"):
        parse_where(["state=failed"])


def test_a_key_that_is_given_twice_is_refused():
    with pytest.raises(
        InputError, match="'n=16': n is given twice; for either of two values write n=value,value"
    ):
        parse_where(["n=8", "n=16"])


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("n=16", True),
        ("n=16.0", True),
        ("n='16'", True),
        ("n=8,16", True),
        ("n=8", False),
        ("lr=1e-3", True),
        ("lr=0.001", True),
        ("lr=.01", False),
        ("optimizer=adam", True),
        ("optimizer=sgd,adam", True),
        ("optimizer=Adam", False),
        ("batch=min(512, n)", True),
        ("batch=min(512,n)", True),
        ("batch=min(256,n)", False),
        ("multipliers=[1, 2]", True),
        ("multipliers=[1.0, 2]", True),
        ("multipliers=[2, 1]", False),
        ("attention=[false,true]", True),
        ("clip_x0=true", True),
        ("clip_x0=false", False),
        ("clip_x0=1", False),
        ("seed=0", True),
        ("seed=false", False),
        ("state=succeeded", True),
        ("p=4321", True),
        ("clip=null", True),
        ("clip=1", False),
        ("n=null", False),
        ("n=" + "9" * 400, False),
        ("lr=" + "9" * 400, False),
        ("n=nan", False),
    ],
)
def test_a_run_fits_a_filter_by_value_not_by_spelling(text, fits):
    assert matches(parse_where([text], extra=["state", "p"]), ROW) is fits


def test_all_filters_must_fit():
    assert matches({"n": [16], "W": [8]}, ROW)
    assert not matches({"n": [16], "W": [4]}, ROW)


def test_no_filter_fits_every_run():
    assert matches({}, ROW)


def test_seeds_beyond_the_precision_of_floats_are_told_apart():
    assert not matches({"seed": [2**53]}, {"seed": 2**53 + 1})


@given(value=st.integers(-(2**63), 2**63), other=st.integers(-(2**63), 2**63))
def test_whole_numbers_fit_if_and_only_if_they_are_equal(value, other):
    assert matches({"seed": [value]}, {"seed": other}) == (value == other)
