"""When a curve crosses: against closed forms, and what is said when the crossing was not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.orchestrator.analysis.criteria.criterion import written
from tausweep.orchestrator.analysis.criteria.crossing import Crossing, crossing, monotone
from tausweep.orchestrator.analysis.criteria.first_crossing import LEFT, RIGHT, first_crossing
from tausweep.orchestrator.analysis.criteria.generalisation import QualityLevel, QualityPlateau
from tausweep.orchestrator.analysis.criteria.loss import (
    LossGap,
    LossGapHalfMaximum,
    LossMinimum,
    SpectralTime,
)
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction, MemorisedHalfMaximum
from tausweep.orchestrator.analysis.criteria.names import parse_criterion

TAU = np.array([30, 100, 300, 1000, 3000])


def test_a_curve_linear_in_ln_tau_is_crossed_where_its_closed_form_says():
    f_mem = 0.1 * np.log(TAU / 20)  # f(tau) = 0.1 ln(tau / 20), so f = 0.2 at 20 e²
    found = crossing(MemorisedFraction(level=0.2), TAU, f_mem)
    assert found.tau == pytest.approx(20 * math.e**2, rel=1e-12)
    assert found.censored is None


def test_only_the_first_crossing_counts():
    f_mem = np.array([0.0, 0.2, 0.0, 0.3, 0.4])
    assert crossing(MemorisedFraction(), TAU, f_mem).tau == pytest.approx(math.sqrt(30 * 100))


def test_a_curve_that_never_reaches_the_level_is_right_censored_at_its_last_tau():
    assert crossing(MemorisedFraction(), TAU, np.full(5, 0.09)) == Crossing(None, "right", 3000)


def test_a_curve_above_the_level_from_the_start_is_left_censored_and_gets_no_tau():
    assert crossing(MemorisedFraction(), TAU, np.full(5, 0.5)) == Crossing(None, "left", 30)


def test_a_level_met_exactly_counts_as_reached():
    f_mem = np.array([0.0, 0.1, 0.1, 0.1, 0.1])
    assert crossing(MemorisedFraction(), TAU, f_mem).tau == pytest.approx(100)


def test_a_single_evaluation_below_the_level_is_right_censored():
    assert crossing(MemorisedFraction(), np.array([30]), np.array([0.0])) == Crossing(None, "right", 30)


def test_half_max_crosses_at_half_of_the_runs_own_plateau():
    f_mem = np.array([0.0, 0.2, 0.6, 0.6, 0.6])  # 0.3 is a quarter of the way from 100 to 300
    assert crossing(MemorisedHalfMaximum(), TAU, f_mem).tau == pytest.approx(100 * 3**0.25)


@pytest.mark.parametrize(
    ("f_mem", "why"),
    [
        ([0.0, 0.02, 0.09, 0.09, 0.09], "the maximum is below the floor"),
        ([0.0, 0.02, 0.1, 0.3, 0.6], "f_mem still rises when the budget ends"),
    ],
)
def test_half_max_is_undefined_where_no_plateau_was_seen(f_mem, why):
    assert crossing(MemorisedHalfMaximum(), TAU, np.array(f_mem)).censored == "right", why


def test_half_of_a_maximum_that_still_rises_bounds_tau_from_below():
    f_mem = np.array([0.0, 0.1, 0.3, 0.5, 0.6])
    assert crossing(MemorisedHalfMaximum(), TAU, f_mem).bound == pytest.approx(300)


def test_half_max_of_a_run_without_any_memorisation_lies_beyond_the_budget():
    assert crossing(MemorisedHalfMaximum(), TAU, np.zeros(5)) == Crossing(None, "right", 3000)


def test_loss_gap_is_an_absolute_difference_and_its_name_says_at_which_t():
    criterion = LossGap(t=150.0)
    gap = np.array([0.0, 0.05, 0.15, 0.2, 0.3])
    assert criterion.name == "loss_gap=0.1@t150"
    assert crossing(criterion, TAU, gap).tau == pytest.approx(math.sqrt(100 * 300))


def test_a_power_law_towards_the_frechet_plateau_is_interpolated_exactly():
    frechet = np.array([100 / 30, 1.0, 100 / 300, 0.2, 0.2])  # 100 / tau, then flat at 0.2
    # 1.25 · 0.2 = 0.25 lies on the chord from (300, 1/3) to (1000, 0.2) in log-log.
    share = math.log(0.25 * 3) / math.log(0.2 * 3)
    assert crossing(QualityPlateau(), TAU, frechet).tau == pytest.approx(300 * (1000 / 300) ** share)


def test_a_frechet_distance_still_falling_is_right_censored_at_its_provisional_crossing():
    found = crossing(QualityPlateau(), TAU, np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    share = math.log(1.25 / 2) / math.log(
        1 / 2
    )  # 1.25 between 2 at 1,000 and 1 at 3,000; a lower minimum comes later
    assert (found.tau, found.censored) == (None, "right")
    assert found.bound == pytest.approx(1000 * 3**share)


def test_a_fixed_distance_is_reached_where_a_power_law_says_or_not_at_all():
    frechet = 100 / TAU
    assert crossing(QualityLevel(measure="fid", level=0.5), TAU, frechet).tau == pytest.approx(200)
    assert crossing(QualityLevel(measure="fid", level=0.01), TAU, frechet) == Crossing(None, "right", 3000)
    assert crossing(QualityLevel(measure="fid", level=5), TAU, frechet) == Crossing(None, "left", 30)


def test_a_frechet_distance_flat_from_the_start_is_left_censored():
    assert crossing(QualityPlateau(), TAU, np.ones(5)) == Crossing(None, "left", 30)


def test_a_frechet_distance_of_zero_is_reached_at_its_evaluation():
    found = crossing(QualityPlateau(), TAU, np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert found.tau == pytest.approx(300, rel=1e-3)


def _slowly(tau, values, level):
    """First crossing of one curve, in plain Python."""
    for i, value in enumerate(values):
        if value >= level:
            if i == 0:
                return math.nan, LEFT
            share = (level - values[i - 1]) / (value - values[i - 1])
            return (1 - share) * math.log(tau[i - 1]) + share * math.log(tau[i]), 0
    return math.nan, RIGHT


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5), min_size=1, max_size=6),
    st.floats(0.01, 1),
)
def test_many_curves_at_once_give_what_each_gives_alone(curves, level):
    found = first_crossing(TAU, np.array(curves), level)
    slow = [_slowly(TAU, curve, level) for curve in curves]
    np.testing.assert_allclose(found.log_tau, [log_tau for log_tau, _ in slow], rtol=1e-12)
    assert found.censored.tolist() == [censored for _, censored in slow]


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_higher_level_is_never_crossed_earlier(values, a, b):
    low, high = (crossing(MemorisedFraction(level=level), TAU, np.array(values)) for level in sorted((a, b)))
    if low.tau is not None and high.tau is not None:
        assert low.tau <= high.tau * (1 + 1e-12)


# --- lowest test loss -----------------------------------------------------------------------------------------------


def test_the_lowest_test_loss_of_a_parabola_in_ln_tau_is_its_vertex():
    tau = np.array([30, 100, 300, 1000, 3000])
    loss = 0.2 + 0.05 * (np.log(tau) - np.log(170)) ** 2
    assert crossing(LossMinimum(t=150.0), tau, loss).tau == pytest.approx(170, rel=1e-12)


def test_a_test_loss_that_still_falls_is_right_censored_at_its_lowest_evaluation():
    loss = np.array([0.5, 0.4, 0.3, 0.2, 0.214])  # has risen by less than 5 % of the 0.3 that it fell
    assert crossing(LossMinimum(t=150.0), TAU, loss) == Crossing(None, "right", 1000)


def test_the_rise_is_measured_against_what_training_moved_and_not_against_the_whole():
    loss = 10 + np.array(
        [0.5, 0.4, 0.2, 0.3, 0.5]
    )  # most of it can't be lowered: it rises by 3 % of the whole
    assert crossing(LossMinimum(t=150.0), TAU, loss).censored is None


def test_a_loss_that_never_moves_has_no_minimum():
    assert crossing(LossMinimum(t=150.0), TAU, np.full(5, 0.3)) == Crossing(None, "right", 30)


def test_the_minimum_of_the_score_error_is_a_criterion_of_its_own():
    criterion = parse_criterion("score_error=min@t0.1")
    assert (criterion.measure, criterion.t, criterion.quantity) == ("score_error", 0.1, "tau_mem")
    assert criterion.name == "score_error=min@t0.1"


def test_a_test_loss_that_only_rises_is_left_censored():
    assert crossing(LossMinimum(t=150.0), TAU, np.linspace(0.2, 0.5, 5)) == Crossing(None, "left", 30)


def test_a_flat_bottom_is_put_at_its_first_evaluation():
    found = crossing(LossMinimum(t=150.0), TAU, np.array([0.5, 0.2, 0.2, 0.2, 0.5]))
    assert 30 < found.tau < 300


# --- gaps and spectra of the random-features model -------------------------------------------------------------------


def test_half_of_the_largest_gap_is_crossed_between_evaluations():
    gap = np.array([0.0, 0.2, 0.6, 0.8, 0.8])
    assert crossing(LossGapHalfMaximum(t=0.1), TAU, gap).tau == pytest.approx(math.sqrt(100 * 300))


def test_half_of_a_gap_that_still_grows_is_right_censored_at_where_it_is_now():
    found = crossing(LossGapHalfMaximum(t=0.1), TAU, np.array([0.0, 0.1, 0.2, 0.4, 0.8]))
    assert (found.censored, found.bound) == ("right", pytest.approx(1000))


def test_a_gap_that_never_opens_has_no_half():
    assert crossing(LossGapHalfMaximum(t=0.1), TAU, np.zeros(5)).censored == "right"


def test_a_timescale_of_the_spectrum_is_taken_as_it_is_also_beyond_the_budget():
    found = crossing(SpectralTime(quantity="tau_mem", t=0.1), TAU, np.full(5, 1e6))
    assert (found.tau, found.censored) == (pytest.approx(1e6), None)


# --- isotonic smoothing ---------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_a_smoothed_curve_rises_and_keeps_its_mean(values):
    curve = np.array(values)
    smooth = monotone(curve)
    assert (np.diff(smooth) >= -1e-12).all()
    assert smooth.mean() == pytest.approx(curve.mean(), abs=1e-12)


def test_smoothing_equals_scikit_learns_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    curves = np.random.default_rng(0).normal(size=(5, 20)) + np.linspace(0, 2, 20)
    reference = [IsotonicRegression().fit_transform(np.arange(20), curve) for curve in curves]
    np.testing.assert_allclose(monotone(curves), reference, rtol=1e-12)


def test_one_high_evaluation_no_longer_decides_a_crossing():
    f_mem = np.array([0.0, 0.12, 0.0, 0.0, 0.5])
    assert crossing(MemorisedFraction(), TAU, f_mem).tau < 100
    assert crossing(MemorisedFraction(), TAU, monotone(f_mem)).tau > 1000


def test_thresholds_are_written_as_the_paper_writes_them():
    assert [written(k) for k in (1 / 3, 1 / 2, 0.25, 0.4, 1.0)] == ["1/3", "1/2", "1/4", "0.4", "1"]


@pytest.mark.parametrize("last", [900, 1800, 2300, 5000])  # exp(ln T) > T
def test_a_crossing_at_an_evaluated_step_is_that_step_exactly(last):
    tau = np.array([100, 300, last])
    assert crossing(MemorisedFraction(), tau, np.array([0.0, 0.05, 0.1])).tau == last
    assert crossing(MemorisedFraction(), np.append(tau, 9000), np.array([0.0, 0.0, 0.1, 0.5])).tau == last


@pytest.mark.parametrize("last", [900, 1800, 2300, 5000])
def test_rounding_never_puts_a_crossing_beyond_the_evaluations_around_it(last):
    tau = np.array([100, last])
    values = np.stack([[0.0, np.nextafter(0.1, 1)], [0.0, 0.1 + 1e-15], [np.nextafter(0.1, 0), 0.1]])
    found = first_crossing(tau, values, 0.1)
    assert np.all((found.tau >= 100) & (found.tau <= last))
