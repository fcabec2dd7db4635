"""The words that help a user who wrote a wrong name."""

from __future__ import annotations

import pytest

from tausweep.storage.errors import nearest

MANY = [f"setting_{number:02d}" for number in range(20)] + ["lr", "clip"]


@pytest.mark.parametrize(
    ("word", "allowed", "words"),
    [
        ("slrm", ["local", "slurm", "ray"], "did you mean 'slurm'? Allowed: local, ray, slurm"),
        ("pbs", ["local", "slurm", "ray"], "allowed: local, ray, slurm"),
        ("clipp", MANY, "did you mean 'clip'? The nearest of 22: clip, lr, setting_19"),
        ("tiny", [], "there is none"),
    ],
)
def test_the_names_that_may_be_meant(word, allowed, words):
    assert nearest(word, allowed) == words


def test_of_many_names_the_three_nearest_are_shown_also_if_none_is_near():
    assert nearest("zzz", MANY).startswith("the nearest of 22: ")
    assert nearest("zzz", MANY).count(",") == 2
