"""The names of metrics: which are distances to held-out images, and which are of one class."""

from __future__ import annotations

import re

import pytest

from tausweep.jobs.spec import metrics
from tausweep.jobs.spec.metrics import class_of, is_quality, of_class, spread_name


@pytest.mark.parametrize("name", [metrics.FID, metrics.FRECHET_PCA, metrics.FRECHET_POPULATION])
def test_distances_to_held_out_images_are_qualities_and_their_spreads_are_not(name):
    assert is_quality(name)
    assert re.fullmatch(metrics.QUALITY_PATTERN, name)
    assert not is_quality(spread_name(name))


@pytest.mark.parametrize("name", [metrics.TEST_LOSS, metrics.F_MEM, metrics.SCORE_ERROR, "fidelity"])
def test_other_metrics_are_no_qualities(name):
    assert not is_quality(name)
    assert not re.fullmatch(metrics.QUALITY_PATTERN, name)


def test_the_class_of_a_metric_is_read_from_its_name():
    assert of_class(metrics.F_MEM, 12) == "f_mem_class12"
    assert class_of(metrics.F_MEM, "f_mem_class12") == 12
    assert class_of(metrics.TRAINING_IMAGES, "n_class0") == 0


@pytest.mark.parametrize("name", ["f_mem", "f_mem_class", "f_mem_classx", "f_mem_class1_sd", "n_class1"])
def test_a_name_that_is_of_no_class_or_of_another_metric_has_none(name):
    assert class_of(metrics.F_MEM, name) is None
