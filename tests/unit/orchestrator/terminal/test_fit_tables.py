"""A FitResult on the terminal: tables of at most 100 characters, and reasons in footnotes below them."""

from __future__ import annotations

import re

import pytest

from tausweep.orchestrator.api import resolve
from tausweep.orchestrator.terminal import console
from tausweep.orchestrator.terminal.fit_tables import print_fits
from tausweep.orchestrator.terminal.footnotes import Footnotes
from tests.unit.orchestrator.synthetic_study import study


def printed(capsys, tables):
    result = resolve(*tables.measured, sweep="synthetic", draws=10)
    print_fits(result, everything=True)
    return result, capsys.readouterr().out


@pytest.fixture
def short():
    """Budgets within which only the smallest n crosses: most laws can't be fitted."""
    return study(samples=60, seeds=(0,), widths=(8, 16), optimizers=("adam", "sgd"), steps=200, ddim_steps=12)


def tables_of(text):
    """Each table with its footnotes: blocks between empty lines, after the sentences and before the notes."""
    blocks = text.partition("note: ")[0].split("\n\n")[1:]
    assert blocks
    return blocks


def test_no_table_is_wider_than_100_characters(short, capsys):
    result, out = printed(capsys, short)
    assert len(result.competitions) > 0
    for block in tables_of(out):
        assert max(map(len, block.splitlines())) <= 100, block


def test_a_law_that_can_not_be_fitted_is_a_dash_and_one_footnote_for_each_reason(short, capsys):
    result, out = printed(capsys, short)
    laws = next(block for block in tables_of(out) if block.startswith("Laws of sweep"))
    reasons = {fit.reason for fit in result.fits if fit.reason}
    assert reasons
    footnotes = dict(re.findall(r"^\((\d+)\) (.*(?:\n(?!\().*)*)", laws, re.MULTILINE))
    assert reasons <= {text.replace("\n", " ").strip() for text in footnotes.values()}
    assert len(footnotes) == len(set(footnotes.values()))
    assert laws.count("– (") == sum(fit.reason is not None for fit in result.fits)


def test_equal_sentences_share_a_number_and_are_printed_once(capsys):
    notes = Footnotes()
    assert [notes.dash("too few"), notes.dash("none"), notes.dash("too few")] == ["– (1)", "– (2)", "– (1)"]
    notes.print(100)
    assert capsys.readouterr().out == "(1) too few\n(2) none\n"


def test_only_columns_of_words_take_several_lines(capsys):
    rows = [["0123456789abcdef0123", "adam, batch min(512, n), label_dropout = 0.1", 7]]
    console.print_table(["run", "runs", "n"], rows, wrap=["runs"], width=50)
    first, *others = capsys.readouterr().out.splitlines()[1:]
    assert first.split()[0] == "0123456789abcdef0123"
    assert first.split()[-1] == "7"
    words = " ".join([*first.split()[1:-1], *(word for line in others for word in line.split())])
    assert words == "adam, batch min(512, n), label_dropout = 0.1"
    assert max(map(len, [first, *others])) <= 50
