"""Tables and progress words, on terminals of any width."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.terminal import console


@pytest.mark.parametrize("width", [10, 30, 200])
def test_a_table_is_neither_cut_nor_folded_on_a_narrow_terminal(width, monkeypatch, capsys):
    monkeypatch.setattr(console, "console", console._console(width))
    console.print_table(["run", "state"], [["0123456789abcdef0123", "succeeded [bold]"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0123456789abcdef0123", "succeeded", "[bold]"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (7800, "2 h 10 min")]
)
def test_a_duration_is_said_as_a_person_would(seconds, words):
    assert console.duration(seconds) == words


def test_json_refuses_what_json_has_no_word_for():
    with pytest.raises(ValueError, match="Out of range float"):
        console.print_json({"tau": float("nan")})
