"""Calls for many items: their answers in order, or their effect alone."""

from __future__ import annotations

import pytest

from tausweep.storage.files.object_store import each, for_each


@pytest.mark.parametrize("writes", [False, True])
def test_answers_come_in_the_order_of_the_items(tmp_path, writes):
    assert list(each(tmp_path, str, range(40), writes=writes)) == [str(number) for number in range(40)]


@pytest.mark.parametrize("writes", [False, True])
def test_every_call_is_made_for_its_effect(tmp_path, writes):
    for_each(tmp_path, lambda name: (tmp_path / name).touch(), ["a", "b", "c"], writes=writes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("writes", [False, True])
def test_a_call_that_fails_is_not_passed_over(tmp_path, writes):
    with pytest.raises(FileNotFoundError):
        for_each(tmp_path, lambda name: (tmp_path / name).unlink(), ["not there"], writes=writes)
