"""From tables to a FitResult: planted laws come back, and what is not known stays unknown."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tausweep.jobs.evaluation.gap_ratio import f_mem
from tausweep.orchestrator.analysis.criteria.loss import LossGap
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.criteria.names import parse_criterion
from tausweep.orchestrator.analysis.runs.curves import read_curves
from tausweep.orchestrator.analysis.runs.results import FitResult
from tausweep.orchestrator.api import resolve
from tausweep.storage.errors import InputError
from tausweep.storage.tables.schemas import METRICS, NEIGHBOURS
from tests.unit.orchestrator.synthetic_study import empty, study


def _resolve(tables, **options):
    return resolve(*tables.measured, sweep="synthetic", **{"draws": 60, **options})


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


def test_one_seed_at_each_n_gives_an_interval_from_the_scatter_about_the_law():
    fit = _fit(_resolve(study(seeds=(0,), rng_seed=1)))
    assert fit.exponent.low < 1.0 < fit.exponent.high
    assert fit.interval_note == "2 degrees of freedom: the interval is wide by Student's t"


def test_as_many_crossings_as_coefficients_give_a_law_without_an_interval():
    fit = _fit(_resolve(study(seeds=(0,), n_values=(16, 64))))
    assert fit.exponent.estimate == pytest.approx(1.0, abs=0.3)
    assert (fit.exponent.low, fit.exponent.high) == (None, None)
    assert fit.interval_note.startswith("no interval: 2 runs crossed, as many as the law has coefficients")


def test_censored_runs_pull_the_law_up_instead_of_being_left_out():
    # n = 128 needs about 5,000 steps; without its three runs the noise of the others decides.
    result = _resolve(study(steps=3000, seed_noise=0.3, rng_seed=4))
    assert _fit(result).n_censored == 3
    assert _fit(result).exponent.low < 1.0 < _fit(result).exponent.high


def test_the_exponent_is_compared_with_one_and_with_none():
    tables = study(rng_seed=1)
    p = {c.hypothesis: c.p_value for c in _fit(_resolve(tables)).comparisons}
    assert p["exponent = 1"] > 0.05
    assert p["exponent = 0"] < 1e-6
    quality = {c.hypothesis: c for c in _fit(_resolve(tables), "frechet_pca≤1.25·min").comparisons}
    assert quality["exponent = 0"].p_value > 0.05
    assert quality["exponent = 0"].delta_aicc < 0 < quality["exponent = 1"].delta_aicc


def test_widths_share_one_law_with_the_planted_exponents():
    result = _resolve(study(widths=(8, 16, 32), samples=1000))
    (law,) = [law for law in result.laws if law.criterion == "f_mem=0.1"]
    assert law.exponent.low < 1.0 < law.exponent.high
    assert law.width_exponent.low < 1.0 < law.width_exponent.high
    assert law.amplitudes == [pytest.approx(40 * 16, rel=0.3)]


def test_optimizers_share_one_law_with_an_amplitude_each():
    result = _resolve(study(optimizers=("adam", "sgd"), samples=1000))
    (law,) = [law for law in result.laws if law.criterion == "f_mem=0.1"]
    assert law.groups == ["adam, batch min(512, n)", "sgd, batch min(512, n)"]
    assert law.amplitudes[1] / law.amplitudes[0] == pytest.approx(1.6, rel=0.15)
    assert law.width_exponent.estimate is None
    (same,) = [c for c in law.comparisons if c.hypothesis == "one exponent for all"]
    assert same.p_value > 0.05


def test_batch_policies_are_conditions_with_an_exponent_each():
    whole, eight = study(exponent=0.8, batch="n", samples=1000), study(exponent=1.6, prefactor=5, batch="8")
    tables = [
        pa.concat_tables([ours, _renamed(theirs)])
        for ours, theirs in zip(whole.measured, eight.measured, strict=True)
    ]
    result = resolve(*tables, sweep="batches", draws=60)
    assert _fit(result, batch="n").exponent.estimate == pytest.approx(0.8, abs=0.15)
    assert _fit(result, batch="8").exponent.estimate == pytest.approx(1.6, abs=0.15)
    (law,) = [law for law in result.laws if law.criterion == "f_mem=0.1"]
    assert law.groups == ["adam, batch 8", "adam, batch n"]
    (same,) = [c for c in law.comparisons if c.hypothesis == "one exponent for all"]
    assert same.p_value < 1e-3


def _renamed(table):
    """The same rows of other runs."""
    place = table.schema.get_field_index("run_id")
    return table.set_column(
        place, table.schema.field("run_id"), pc.binary_join_element_wise(table["run_id"], "other", "-")
    )


def test_curves_of_all_n_collapse_at_the_planted_exponent():
    (found,) = _resolve(study(exponent=1.2, prefactor=20.0, samples=1000), draws=500).collapses
    assert found.exponent.low < 1.2 < found.exponent.high
    assert found.unscaled < found.score < found.best < 1


def test_a_study_with_one_n_has_no_collapse_but_a_reason():
    (found,) = _resolve(study(n_values=(16,))).collapses
    assert (found.score, found.reason) == (None, "one n only")


def test_tau_mem_at_other_thresholds_stands_beside_that_of_the_study():
    result = _resolve(study())
    at = {
        k: [t.tau.estimate for t in result.timescales if t.criterion == f"f_mem=0.1{k}"]
        for k in ("@k1/2", "", "@k1/4")
    }
    assert all(lax < own < strict for lax, own, strict in zip(*at.values(), strict=True))


def test_the_median_over_seeds_has_an_interval_around_it():
    for found in (t for t in _resolve(study()).timescales if t.criterion == "f_mem=0.1"):
        assert found.tau.low < found.tau.estimate < found.tau.high
        assert found.tau.low < 40 * found.n < found.tau.high * 1.1


def test_a_median_that_did_not_cross_is_bounded_and_not_invented():
    result = _resolve(study(steps=3000))
    (late,) = [t for t in result.timescales if t.criterion == "f_mem=0.1" and t.n == 128]
    assert (late.tau.estimate, late.censored, late.bound, late.n_censored) == (
        None,
        "right",
        pytest.approx(3000),
        3,
    )


def test_isotonic_smoothing_is_named_and_changes_noisy_crossings_little():
    tables = study()
    plain, smooth = (_resolve(tables, smoothing=kind) for kind in ("none", "isotonic"))
    assert smooth.smoothing == "isotonic"
    assert _fit(smooth).exponent.estimate == pytest.approx(_fit(plain).exponent.estimate, abs=0.05)


def test_criteria_of_the_users_choice_replace_the_defaults():
    result = _resolve(study(), criteria=[MemorisedFraction(level=0.5), LossGap(t=50.0)])
    assert result.criteria == ["f_mem=0.5", "loss_gap=0.1@t50"]
    assert {fit.criterion for fit in result.fits} == set(result.criteria)


def test_the_boundary_lies_between_runs_that_memorise_and_runs_that_do_not():
    result = _resolve(study(steps=3000))
    last = [b for b in result.boundaries if b.budget == 3000]
    assert [b.n_star.estimate for b in last] == [pytest.approx(math.sqrt(64 * 128), rel=0.15)]
    assert 32 < last[0].n_star.low < 75 < last[0].n_star.high
    early = result.boundaries[0]
    assert early.n_star.estimate is None
    assert early.reason.startswith("no run memorises")


def test_a_sweep_without_a_line_says_that_it_has_not_converged():
    (line,) = _resolve(study(steps=3000)).lines
    assert not line.converged
    assert line.n_star.high is None
    assert line.verdict.startswith("not converged")


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
    assert {fit.criterion for fit in result.fits} == {
        "loss_gap=0.1@t150",
        "test_loss=min@t150",
        "frechet_pca≤1.25·min",
    }
    assert {point.state for point in result.phase_diagram} == {None}


def test_an_evaluation_that_lost_samples_is_left_out_and_noted():
    tables = study(n_values=(16,), seeds=(0,))
    rows = tables.neighbours
    lost = rows.filter(~((pc.field("tau") == 30) & (pc.field("sample") >= 100)))
    (run,) = read_curves(tables.runs, tables.metrics, lost, k=1 / 3)
    assert run.curve("f_mem").tau[0] > 30
    assert any("fewer samples" in note for note in _resolve(replace(tables, neighbours=lost)).notes)


@pytest.mark.parametrize(("name", "words"), [("loss_gap=0.1@t77", "measured are the losses at t = 50, 150, 500"),
                                             ("frechet_inception<=1.5*min", "measured are frechet_pca")])  # fmt: skip
def test_a_criterion_that_no_run_measured_is_noted_with_what_was(name, words):
    result = _resolve(study(), criteria=[MemorisedFraction(), parse_criterion(name)])
    assert any(words in note for note in result.notes)
    assert [fit.criterion for fit in result.fits] == ["f_mem=0.1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draws = 0"),
        ({"k": 2}, "0 < k ≤ 1"),
        ({"smoothing": "istonic"}, "did you mean 'isotonic'"),
        ({"criteria": [MemorisedFraction(), MemorisedFraction()]}, "given twice"),
    ],
)
def test_wrong_arguments_are_input_errors(options, words):
    with pytest.raises(InputError, match=words):
        _resolve(empty(), **options)


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


def test_runs_without_samples_are_resolved_by_losses_and_spectrum():
    runs, metrics = [], []
    tau = np.unique(np.round(np.logspace(0, 5, 60)).astype(int))
    for psi_p, n, seed in itertools.product((4.0, 8.0), (16, 32, 64), (0, 1)):
        run_id = f"rf-{psi_p}-{n}-{seed}"
        settings = {
            "data": "gaussian",
            "d": 10,
            "model": "random_features",
            "psi_p": psi_p,
            "optimizer": "gd",
        }
        runs.append(
            settings
            | {
                "run_id": run_id,
                "state": "succeeded",
                "batch": "n",
                "n": n,
                "seed": seed,
                "subset": 0,
                "p": int(100 * psi_p),
            }
        )
        gap = 1 / (1 + (20.0 * n / tau) ** 2)  # half of it at 20·n
        curves = {"train_loss": 1 - gap / 2, "test_loss": 1 + gap / 2, "score_error": 0.1 + 1 / tau + gap}
        curves |= {
            "spectral_tau_mem": np.full(tau.shape, 7.0 * n),
            "spectral_tau_gen": np.full(tau.shape, 3.0),
        }
        for metric, values in curves.items():
            metrics += [
                {"run_id": run_id, "attempt": 1, "tau": int(at), "images_seen": int(at) * n, "t": 0.1,
                 "metric": metric, "value": float(value), "wall_time": 0.0}
                for at, value in zip(tau, values, strict=True)
            ]  # fmt: skip
    tables = pa.Table.from_pylist(runs), pa.Table.from_pylist(metrics, METRICS), NEIGHBOURS.empty_table()
    result = resolve(*tables, sweep="rf", draws=20)
    assert {run.W for run in result.runs} == {400, 800}  # p stands for the width
    found = {(fit.W, fit.criterion): fit.exponent.estimate for fit in result.fits}
    for W in (400, 800):
        assert found[W, "loss_gap=half_max@t0.1"] == pytest.approx(1, abs=0.02)
        assert found[W, "spectral_tau_mem@t0.1"] == pytest.approx(1)
        assert found[W, "spectral_tau_gen@t0.1"] == pytest.approx(0, abs=1e-9)
    assert not any("f_mem" in name for name in result.criteria)
