"""f_mem by class: whose sample counts where, and on how many it rests."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.evaluation.by_class import class_metrics
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours

TRAIN = np.array([0, 0, 0, 4, 4, 7])
"""Classes of six training images."""


def neighbours(nearest, ratios):
    count = len(nearest)
    return Neighbours(
        d1=np.array(ratios, float), d2=np.ones(count), nn1=np.array(nearest), nn2=np.zeros(count, np.int64)
    )


def measured(*arguments):
    return {name: value for name, _, value in class_metrics(*arguments)}


def test_samples_count_for_the_class_they_were_generated_for():
    found = measured(neighbours([0, 3, 5, 0], [0.1, 0.9, 0.1, 0.1]), TRAIN, np.array([0, 4, 7, 4]))
    assert found == {
        "n_class0": 3, "samples_class0": 1, "f_mem_class0": 1.0,
        "n_class4": 2, "samples_class4": 2, "f_mem_class4": 0.5,
        "n_class7": 1, "samples_class7": 1, "f_mem_class7": 1.0,
        "class_match": 0.75,
    }  # fmt: skip


def test_samples_without_a_class_count_for_that_of_their_nearest_training_image():
    found = measured(neighbours([0, 2, 3], [0.1, 0.9, 0.1]), TRAIN, None)
    assert (found["samples_class0"], found["f_mem_class0"], found["f_mem_class4"]) == (2, 0.5, 1.0)
    assert "class_match" not in found


def test_a_class_without_samples_has_no_f_mem():
    found = measured(neighbours([0, 1], [0.1, 0.9]), TRAIN, None)
    assert found["samples_class7"] == 0
    assert "f_mem_class7" not in found


@pytest.mark.parametrize("conditional", [True, False])
@given(data=st.data())
def test_the_classes_make_up_the_whole(conditional, data):
    count = data.draw(st.integers(1, 30))
    nearest = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    ratios = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    asked = data.draw(st.lists(st.sampled_from([0, 4, 7]), min_size=count, max_size=count))
    found = measured(neighbours(nearest, ratios), TRAIN, np.array(asked) if conditional else None)
    of_class = asked if conditional else [TRAIN[i] for i in nearest]
    assert {c: found[f"samples_class{c}"] for c in (0, 4, 7)} == {c: Counter(of_class)[c] for c in (0, 4, 7)}
    in_all = sum(found.get(f"f_mem_class{c}", 0) * found[f"samples_class{c}"] for c in (0, 4, 7))
    assert in_all == pytest.approx(sum(ratio < 1 / 3 for ratio in ratios))
