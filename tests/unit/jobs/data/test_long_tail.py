"""Long-tailed subsets: the geometric profile, exact sums, and a choice by place alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.data.digits import digits_labels
from tausweep.jobs.data.long_tail import class_counts, long_tailed_indices
from tausweep.storage.errors import DataError


def shares(n, classes, ratio):
    """The profile written as the recursion n_{r+1} = n_r · q, in exact fractions of a rational q."""
    q = Fraction(ratio ** (-1 / (classes - 1)))
    row = [Fraction(1)]
    for _ in range(classes - 1):
        row.append(row[-1] * q)
    return [n * weight / sum(row) for weight in row]


@given(st.integers(200, 5000), st.integers(2, 12), st.floats(1, 10), st.data())
def test_counts_follow_the_geometric_profile_to_within_one_image(n, classes, ratio, data):
    head = data.draw(st.integers(0, classes - 1))
    counts = class_counts(n, classes, ratio, head)
    ranked = np.roll(counts, -head)
    assert counts.sum() == n
    assert (np.diff(ranked) <= 0).all()
    assert all(
        abs(count - share) < 1
        for count, share in zip(ranked.tolist(), shares(n, classes, ratio), strict=True)
    )


def test_ratio_one_is_balanced():
    np.testing.assert_array_equal(class_counts(100, 10, 1), [10] * 10)


def test_a_case_computed_by_hand():
    # weights 1, 1/2, 1/4 of 70 images
    np.testing.assert_array_equal(class_counts(70, 3, 4), [40, 20, 10])
    np.testing.assert_array_equal(class_counts(70, 3, 4, head=1), [10, 40, 20])


def test_a_class_without_an_image_is_refused():
    with pytest.raises(
        DataError, match="n = 10, imbalance = 100: the rarest of 10 classes would have no image"
    ):
        class_counts(10, 10, 100)


@pytest.mark.parametrize(("classes", "head"), [(1, 0), (3, 3)])
def test_a_head_that_is_no_class_is_refused(classes, head):
    with pytest.raises(DataError, match=rf"head_class = {head}: there are {classes} classes"):
        class_counts(10, classes, 2, head)


def test_the_chosen_images_have_the_counts_and_are_the_first_of_their_class():
    labels = digits_labels()[:1285]
    chosen = long_tailed_indices(labels, 128, 10)
    counts = class_counts(128, 10, 10)
    taken = dict.fromkeys(range(10), 0)
    expected = []
    for place, label in enumerate(
        labels.tolist()
    ):  # a walk through the images, as one would draw them by hand
        if taken[label] < counts[label]:
            taken[label] += 1
            expected.append(place)
    np.testing.assert_array_equal(chosen, expected)


def test_subsets_are_disjoint_and_a_smaller_set_lies_in_one_of_twice_its_size():
    labels = digits_labels()[:1285]
    first, second = (set(long_tailed_indices(labels, 64, 10, subset=i)) for i in (0, 1))
    assert len(first) == len(second) == 64
    assert not first & second
    assert first < set(long_tailed_indices(labels, 128, 10))


def test_too_few_images_of_a_class_are_told_with_the_numbers():
    labels = np.repeat(np.arange(3), [30, 40, 10])
    with pytest.raises(DataError, match="40 images of class 0 are needed for training, but there are 30"):
        long_tailed_indices(labels, 70, 4)
    with pytest.raises(DataError, match=r"subset = 2: 12 images of class 2 .* there are 10"):
        long_tailed_indices(np.repeat(np.arange(3), [99, 99, 10]), 28, 4, subset=2)
