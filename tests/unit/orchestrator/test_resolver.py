"""From tables to a FitResult: planted laws come back, and what is not known stays unknown."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import empty, study

from jobs.gap_ratio import f_mem
from orchestrator.curves import read_curves
from orchestrator.laws import fit_power_law, fractions, interval, resample_memorised, resample_runs
from orchestrator.resolver import resolve
from orchestrator.results import FitResult


def _resolve(tables, **options):
    return resolve(*tables.measured, sweep="synthetic", **{"draws": 200, **options})


def _fit(result, criterion="f_mem=0.1", **condition):
    (fit,) = [
        fit for fit in result.fits
        if fit.criterion == criterion and all(getattr(fit, key) == value for key, value in condition.items())
    ]  # fmt: skip
    return fit


def test_a_planted_law_comes_back_with_an_interval_that_holds_it():
    fit = _fit(_resolve(study(exponent=1.3, prefactor=10.0, samples=1000)))
    assert fit.exponent.estimate == pytest.approx(1.3, abs=0.1)
    assert fit.exponent.low < 1.3 < fit.exponent.high
    assert fit.amplitude == pytest.approx(10.0, rel=0.4)


def test_the_prefactor_is_that_of_the_law_with_slope_one():
    fit = _fit(_resolve(study(exponent=1.0, prefactor=40.0, samples=1000, seed_noise=0.02)))
    assert fit.prefactor.low < 40.0 < fit.prefactor.high
    assert fit.prefactor.estimate == pytest.approx(40.0, rel=0.1)


def test_the_fit_equals_numpys_least_squares():
    n, tau = np.array([16, 16, 32, 64, 128]), np.array([700.0, 650.0, 1500.0, 2400.0, 5600.0])
    slope, intercept = np.polyfit(np.log(n), np.log(tau), 1)
    law = fit_power_law(n, np.log(tau))
    assert law.exponent == pytest.approx(slope)
    assert law.amplitude == pytest.approx(np.exp(intercept))
    assert law.prefactor == pytest.approx(np.exp(np.mean(np.log(tau / n))))


@given(st.floats(-2, 3), st.floats(0.1, 1e4), st.sets(st.integers(2, 4096), min_size=2, max_size=6))
def test_an_exact_power_law_is_recovered_for_any_exponent(exponent, amplitude, sizes):
    n = np.array(sorted(sizes))
    law = fit_power_law(n, np.log(amplitude) + exponent * np.log(n))
    assert law.exponent == pytest.approx(exponent, abs=1e-6)


def test_runs_without_a_crossing_do_not_enter_the_fit():
    n, log_tau = np.array([16, 32, 64]), np.log([100.0, 200.0, 400.0])
    with_gap = fit_power_law(np.append(n, 128), np.append(log_tau, np.nan))
    assert with_gap.exponent == pytest.approx(fit_power_law(n, log_tau).exponent)


def test_one_distinct_n_gives_no_exponent():
    assert math.isnan(fit_power_law(np.array([16, 16, 32]), np.array([1.0, 2.0, np.nan])).exponent)


def test_resampled_fits_equal_a_slow_loop_over_the_same_resample():
    n = np.array([16, 16, 32, 32, 64])
    log_tau = np.random.default_rng(1).normal(size=(5, 40)) + np.log(n)[:, None]
    picked = resample_runs(n, log_tau, np.random.default_rng(7))
    fast = fit_power_law(n, picked).exponent
    slow = [np.polyfit(np.log(n), row, 1)[0] for row in picked]
    np.testing.assert_allclose(fast, slow)


def test_runs_are_resampled_within_their_own_n_only():
    n = np.array([16, 16, 32, 64])
    origin = np.arange(4.0)[:, None] * np.ones(100)  # run r has the value r in each of its resamples
    picked = resample_runs(n, origin, np.random.default_rng(0))
    assert {tuple(row) for row in picked} == {(a, b, 2.0, 3.0) for a in (0.0, 1.0) for b in (0.0, 1.0)}


def test_resampled_f_mem_equals_a_slow_loop_over_the_same_resample():
    rng = np.random.default_rng(3)
    memorised = rng.random((6, 50)) < 0.3
    indices = rng.integers(50, size=(20, 50))
    counts = np.stack([np.bincount(row, minlength=50) for row in indices])
    slow = [[memorised[tau, row].mean() for tau in range(6)] for row in indices]
    np.testing.assert_allclose(fractions(memorised, counts), slow)


def test_resampling_samples_keeps_the_mean_and_has_the_variance_of_a_binomial():
    memorised = np.zeros((2, 100), dtype=bool)
    memorised[1, :30] = True
    drawn = resample_memorised(memorised, 4000, np.random.default_rng(0))
    assert drawn[:, 1].mean() == pytest.approx(0.3, abs=0.005)
    assert drawn[:, 1].var() == pytest.approx(0.3 * 0.7 / 100, rel=0.1)
    assert not drawn[:, 0].any()


def test_an_interval_is_refused_when_most_resamples_have_no_fit():
    assert interval(np.array([1.0, np.nan, np.nan]), 0.95) is None


def test_censored_runs_are_counted_and_named():
    result = _resolve(study(steps=3000))  # n = 128 needs about 5,000 steps
    fit = _fit(result)
    assert fit.n_values == [16, 32, 64]
    assert (fit.n_points, fit.n_censored) == (9, 3)
    assert fit.censored == [f"run-W16-adam-n0128-s{seed}" for seed in (0, 1, 2)]


def test_all_censored_gives_no_exponent_but_a_reason():
    fit = _fit(_resolve(study(steps=200)))
    assert fit.exponent.estimate is None
    assert fit.reason == "none of 12 runs was seen to cross within its budget"


def test_a_crossing_at_one_n_only_gives_no_exponent_but_a_reason():
    fit = _fit(_resolve(study(steps=3000, n_values=(16, 512))))
    assert fit.exponent.estimate is None
    assert fit.reason == "a crossing at one n only (n = 16); an exponent needs two"


def test_a_run_that_memorised_before_its_first_evaluation_is_left_censored():
    result = _resolve(study(prefactor=0.05))
    assert {run.crossings["f_mem=0.1"].censored for run in result.runs} == {"left"}
    assert {point.state for point in result.phase_diagram} == {"memorises"}
    assert {point.tau_mem for point in result.phase_diagram} == {None}


def test_one_seed_and_no_samples_to_resample_gives_no_interval_and_says_why():
    fit = _fit(_resolve(study(seeds=(0,))), "loss_gap=0.1@t150")
    assert fit.exponent.estimate == pytest.approx(1.0, abs=0.02)
    assert (fit.exponent.low, fit.exponent.high) == (None, None)
    assert fit.interval_note.startswith("no interval: one run at each n")


def test_one_seed_with_samples_gives_an_interval_that_says_what_it_leaves_out():
    fit = _fit(_resolve(study(seeds=(0,))))
    assert fit.exponent.low < fit.exponent.estimate < fit.exponent.high
    assert "one run at n = 16, 32, 64, 128" in fit.interval_note


def test_f_mem_is_that_of_the_gap_ratio_at_the_given_k():
    tables = study(n_values=(16,), seeds=(0,))
    (run,) = read_curves(*tables.measured, k=0.25)
    curve = run.curve("f_mem")
    at = tables.neighbours.filter(pc.field("tau") == int(curve.tau[-3]))
    assert curve.value[-3] == f_mem(at["d1"].to_numpy(), at["d2"].to_numpy(), 0.25)


def test_a_larger_k_sees_memorisation_earlier():
    tables = study()
    strict, lax = (_resolve(tables, k=k) for k in (0.25, 0.5))
    for a, b in zip(strict.phase_diagram, lax.phase_diagram, strict=True):
        assert b.tau_mem < a.tau_mem


def test_the_loss_gap_is_taken_at_the_middle_timestep():
    assert "loss_gap=0.1@t150" in _resolve(study()).criteria


def test_tau_gen_does_not_depend_on_n_where_none_was_planted():
    fit = _fit(_resolve(study()), "frechet_pca≤1.25·min")
    assert fit.quantity == "tau_gen"
    assert abs(fit.exponent.estimate) < 0.2


def test_the_phase_diagram_knows_memorising_and_generalising_runs():
    points = _resolve(study(steps=3000)).phase_diagram
    assert [(point.n, point.state) for point in points] == [
        (16, "memorises"), (32, "memorises"), (64, "memorises"), (128, "generalises"),
    ]  # fmt: skip
    assert points[3].tau_mem is None
    assert points[3].budget == 3000


def test_runs_that_do_neither_are_not_yet_good():
    assert {point.state for point in _resolve(study(steps=150)).phase_diagram} == {"not yet good"}


def test_without_frechet_a_run_that_does_not_memorise_has_no_state():
    result = _resolve(study(steps=3000, frechet=False))
    assert result.phase_diagram[-1].state is None
    assert not [fit for fit in result.fits if fit.quantity == "tau_gen"]
    assert any(note.startswith("frechet_pca was not measured in 12 runs") for note in result.notes)


def test_width_and_optimizer_have_a_fit_each():
    result = _resolve(study(widths=(8, 16), optimizers=("adam", "sgd")))
    fits = [fit for fit in result.fits if fit.criterion == "f_mem=0.1"]
    assert [(fit.W, fit.optimizer) for fit in fits] == [(8, "adam"), (8, "sgd"), (16, "adam"), (16, "sgd")]
    assert fits[0].p == 280 * 8**2


def test_a_setting_that_differs_at_one_n_divides_the_runs():
    tables = study()
    lr = [0.001 if seed == 0 else 0.003 for seed in tables.runs["seed"].to_pylist()]
    column = tables.runs.schema.get_field_index("lr")
    changed = replace(tables, runs=tables.runs.set_column(column, "lr", pa.array(lr)))
    fits = [fit for fit in _resolve(changed).fits if fit.criterion == "f_mem=0.1"]
    assert [fit.settings for fit in fits] == [{"lr": "0.001"}, {"lr": "0.003"}]


def test_a_setting_that_changes_with_n_is_pooled_and_noted():
    tables = study()
    lr = [0.1 / n for n in tables.runs["n"].to_pylist()]
    column = tables.runs.schema.get_field_index("lr")
    changed = replace(tables, runs=tables.runs.set_column(column, "lr", pa.array(lr)))
    result = _resolve(changed)
    assert _fit(result).settings == {}
    assert "changes together with n, so each fit over n is also one over: lr" in result.notes


def test_unfinished_runs_count_up_to_their_last_tau_and_are_noted():
    result = _resolve(study(state="running", steps=3000))
    assert {run.budget for run in result.runs} == {3000}
    assert any(note.startswith("12 running runs are used") for note in result.notes)


def test_runs_without_a_measurement_are_noted_and_left_out():
    tables = study()
    missing = "run-W16-adam-n0016-s0"
    keep = pc.field("run_id") != missing
    partial = replace(tables, metrics=tables.metrics.filter(keep), neighbours=tables.neighbours.filter(keep))
    result = _resolve(partial)
    assert missing not in [run.run_id for run in result.runs]
    assert f"no measurement yet from 1 of 12 runs: {missing}" in result.notes


def test_runs_with_metrics_only_have_no_tau_mem_by_f_mem():
    tables = study()
    result = _resolve(replace(tables, neighbours=tables.neighbours.slice(0, 0)))
    assert {fit.criterion for fit in result.fits} == {"loss_gap=0.1@t150", "frechet_pca≤1.25·min"}
    assert {point.state for point in result.phase_diagram} == {None}


def test_an_evaluation_that_lost_samples_is_left_out_and_noted():
    tables = study(n_values=(16,), seeds=(0,))
    rows = tables.neighbours
    lost = rows.filter(~((pc.field("tau") == 30) & (pc.field("sample") >= 100)))
    (run,) = read_curves(tables.runs, tables.metrics, lost, k=1 / 3)
    assert run.curve("f_mem").tau[0] > 30
    assert any("fewer samples" in note for note in _resolve(replace(tables, neighbours=lost)).notes)


def test_empty_tables_give_an_empty_result():
    result = _resolve(empty())
    assert (result.fits, result.phase_diagram, result.runs) == ([], [], [])


@pytest.mark.parametrize("steps", [100, 200, 3000, 20_000])
def test_the_json_holds_no_nan_and_reads_back_the_same(steps):
    result = _resolve(study(steps=steps, seeds=(0, 1)), draws=50)
    text = json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert FitResult.model_validate_json(text) == result


def test_the_same_tables_in_any_order_give_the_same_result():
    tables = study()
    shuffled = [table.take(np.random.default_rng(0).permutation(len(table))) for table in tables.measured]
    assert resolve(*shuffled, sweep="synthetic", draws=50) == _resolve(tables, draws=50)


def test_intervals_hold_the_truth_in_most_studies():
    held = [
        (fit := _fit(_resolve(study(rng_seed=i, frechet=False, samples=100, steps=30_000)))).exponent.low
        < 1.0 < fit.exponent.high
        for i in range(20)
    ]  # fmt: skip
    assert sum(held) >= 16
