"""Criteria are data: their names say all of them and are read back."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.analysis.criteria.criterion import parse_threshold
from tausweep.orchestrator.analysis.criteria.generalisation import QualityLevel, QualityPlateau
from tausweep.orchestrator.analysis.criteria.loss import (
    LossGap,
    LossGapHalfMaximum,
    LossMinimum,
    SpectralTime,
)
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction, MemorisedHalfMaximum
from tausweep.orchestrator.analysis.criteria.names import CRITERIA, parse_criterion
from tausweep.storage.errors import InputError


@pytest.mark.parametrize(
    "criterion",
    [
        MemorisedFraction(), MemorisedFraction(level=0.25, k=1 / 2), MemorisedFraction(k=0.4),
        MemorisedHalfMaximum(), MemorisedHalfMaximum(k=1 / 4), LossGap(level=0.05, t=500.0), LossMinimum(t=50.0),
        QualityPlateau(), QualityPlateau(measure="fid", factor=1.1), LossGapHalfMaximum(t=0.01),
        QualityPlateau(measure="score_error", t=0.1), SpectralTime(quantity="tau_mem", t=0.1),
        SpectralTime(quantity="tau_gen", t=0.1), QualityLevel(measure="fid", level=12.5),
    ],
)  # fmt: skip
def test_a_criterion_is_read_back_from_its_name(criterion):
    assert parse_criterion(criterion.name) == criterion


@pytest.mark.parametrize("form", [form for criterion in CRITERIA for form in criterion.forms])
def test_every_form_that_errors_offer_is_a_criterion(form):
    assert parse_criterion(form).name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f_mem", "no such criterion"),
        ("f_mem=1.5", "f_mem lies in 0…1"),
        ("f_mem=0", "above 0"),
        ("f_men=0.1", "did you mean 'f_mem=0.1'"),
        ("loss_gap=0.1", "no such criterion"),
        ("loss_gap=0@t150", "a gap above 0"),
        ("frechet_pca<=1*min", "a factor above 1"),
        ("fid<=0", "a distance above 0"),
        ("f_mem=0.1@k2", "0 < k ≤ 1"),
    ],
)
def test_a_wrong_criterion_is_one_clear_error(text, words):
    with pytest.raises(InputError, match=words):
        parse_criterion(text)


@pytest.mark.parametrize("text", ["0", "1/0", "nan", "x", "-1/3", "3/2", "inf"])
def test_a_wrong_threshold_is_refused(text):
    with pytest.raises(InputError, match="k = "):
        parse_threshold(text)


def test_thresholds_are_fractions_or_numbers():
    assert (parse_threshold("1/3"), parse_threshold(" 0.4 "), parse_threshold("1")) == (1 / 3, 0.4, 1.0)
