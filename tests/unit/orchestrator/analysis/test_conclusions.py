"""The sentences that a result begins with: each from its numbers, and none where there is nothing to say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from tausweep.orchestrator.analysis.conclusions import conclude
from tausweep.orchestrator.analysis.criteria.loss import LossGap
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.runs.results import Comparison, Estimate
from tausweep.orchestrator.api import resolve
from tausweep.orchestrator.terminal.fit_tables import print_fits
from tests.unit.orchestrator.synthetic_study import empty, study

MEM = (MemorisedFraction(),)


def sentences(tables, **options):
    result = resolve(*tables.measured, sweep="synthetic", **{"draws": 10, **options})
    assert len(result.conclusions) <= 8
    assert all(sentence.endswith(".") for sentence in result.conclusions)
    return result.conclusions


def one(lines, start):
    return next(line for line in lines if line.startswith(start))


def small(**settings):
    return study(**{"samples": 60, "frechet": False, "seeds": (0, 1), **settings})


@pytest.fixture(scope="module")
def plain():
    tables = study(samples=60, seeds=(0, 1), rng_seed=1, ddim_steps=12)
    return resolve(*tables.measured, sweep="synthetic", draws=10)


@pytest.fixture(scope="module")
def widths():
    return resolve(*small(widths=(8, 16), steps=3000).measured, sweep="synthetic", draws=10, criteria=MEM)


def test_an_empty_sweep_has_nothing_to_conclude():
    assert sentences(empty()) == [
        "No run of sweep synthetic has a measurement yet, so there is nothing to conclude.",
        "Next: `tausweep status synthetic` says what its runs are doing.",
    ]


def test_first_comes_what_was_trained(plain):
    assert plain.conclusions[0] == (
        "8 runs of sweep synthetic count: n = 16 to 128 at W = 16 (p = 71,680), trained up to tau = 20,000."
    )


def test_tau_mem_grows_by_a_criterion_and_a_sampler_and_is_sentence_where(plain):
    line = one(plain.conclusions, "tau_mem grows like n^")
    fit = plain.fits[0]
    assert f"n^{fit.exponent.estimate:.3g} [{fit.exponent.low:.3g}, {fit.exponent.high:.3g}]" in line
    assert "(f_mem=0.1, samples by DDIM, 12 steps): proportional to n is not rejected, constant is; " in line
    assert "; grows like n^1 [0.998, 1.01] (loss_gap=0.1@t150): " in line


def test_a_criterion_on_losses_has_no_sampler():
    lines = sentences(small(ddim_steps=12), criteria=(LossGap(t=150.0),))
    assert "(loss_gap=0.1@t150)" in one(lines, "tau_mem grows like n^")


def sentence_where(result, quantity, proportional, constant):
    """The sentence of a quantity whose tests have these p values."""
    tests = [
        Comparison(hypothesis=f"exponent = {value}", p_value=p, delta_aicc=None)
        for value, p in ((1, proportional), (0, constant))
    ]
    fits = [fit.model_copy(update={"comparisons": tests}) for fit in result.fits]
    return one(conclude(result.model_copy(update={"fits": fits})), f"{quantity} ")


def test_a_time_is_constant_only_where_constant_is_not_rejected_and_proportional_is(plain):
    line = sentence_where(plain, "tau_gen", 0.001, 0.4)
    assert line.startswith("tau_gen does not depend on n as far as can be seen: n^")
    assert line.endswith("; constant is not rejected, proportional to n is.")
    line = sentence_where(plain, "tau_gen", 0.3, 0.4)
    assert line.startswith("tau_gen falls like n^")
    assert line.endswith(": neither proportional to n nor constant is rejected.")
    assert sentence_where(plain, "tau_mem", 0.01, 0.01).endswith(
        ": proportional to n is rejected, and so is constant."
    )


def test_a_time_that_falls_with_n_is_said_to_fall(plain):
    assert one(plain.conclusions, "tau_gen ").startswith(
        "tau_gen falls like n^-0.116 [-0.221, -0.0102] (frechet_pca"
    )


def test_the_best_of_the_competing_laws_is_named(plain):
    line = one(plain.conclusions, "Of the laws of tau_mem by f_mem=0.1, ")
    assert plain.competitions[0].verdict in line


def test_the_n_star_of_the_best_law_is_said_at_each_size(plain):
    stars = {
        "c": Estimate(estimate=41.0, low=32.0, high=53.0),
        "n_star(p = 4877)": Estimate(estimate=26.0, low=24.9, high=28.5),
        "n_star(p = 72113)": Estimate(estimate=227.0, low=133.0),
    }
    best, *others = plain.competitions
    laws = [best.laws[0].model_copy(update={"parameters": stars}), *best.laws[1:]]
    result = plain.model_copy(
        update={"competitions": [best.model_copy(update={"laws": laws}), *others], "notes": []}
    )
    assert one(conclude(result), "Of the laws of tau_mem by f_mem=0.1, ").endswith(
        ". By it memorisation would end at n* = 26 [24.9, 28.5] at p = 4,877 and 227 [133, ∞) at p = 72,113."
    )


def test_what_did_not_cross_is_counted_and_more_training_is_proposed():
    lines = sentences(small(steps=200), criteria=MEM)
    assert one(lines, "tau_mem has") == (
        "tau_mem has no exponent by f_mem=0.1: none of 8 runs was seen to cross within its budget."
    )
    assert one(lines, "8 of 8") == (
        "8 of 8 runs did not reach f_mem=0.1 within their budget and count as later than it."
    )
    assert lines[-1] == (
        "Next: no run reached f_mem=0.1; train longer, for example to tau = 400 (`steps` in the sweep file)."
    )


def test_runs_that_crossed_before_their_first_evaluation_are_counted():
    lines = sentences(small(prefactor=0.05), criteria=MEM)
    assert one(lines, "8 had reached") == ("8 had reached it by their first evaluation and count as earlier.")


def test_one_n_needs_more_n():
    lines = sentences(small(n_values=(16,)), criteria=MEM)
    assert "a crossing at one n only (n = 16); an exponent needs two" in one(
        lines, "tau_mem has no exponent by f_mem=0.1: "
    )
    assert lines[-1] == "Next: a law needs at least three n; add 32 and 64 to `n` in the sweep file."


def test_n_star_is_given_for_each_width(widths):
    line = one(widths.conclusions, "Within tau = 3,000 half of the runs memorise at n* = ")
    known = [at for at in widths.boundaries[-2:] if at.n_star.estimate is not None]
    assert known
    for at in known:
        assert f"{at.n_star.estimate:.3g} [" in line
        assert f"at W = {at.W} (p = {at.p:,})" in line


def both(one, other):
    """The tables of two studies as those of one sweep."""
    fields = (field.name for field in dataclasses.fields(one))
    return dataclasses.replace(
        one, **{name: pa.concat_tables([getattr(one, name), getattr(other, name)]) for name in fields}
    )


def test_n_star_of_a_width_trained_less_is_that_at_its_own_last_budget():
    tables = both(small(widths=(8,), steps=6000), small(widths=(16,), steps=3000))
    lines = sentences(tables, criteria=MEM)
    assert one(lines, "16 runs of sweep").endswith("trained up to tau = 3,000 to 6,000.")
    line = one(lines, "Half of the runs memorise at n* = ")
    assert "at W = 8 (p = 17,920) within tau = 6,000 and " in line
    assert line.endswith(" at W = 16 (p = 71,680) within tau = 3,000.")


def test_conditions_are_named_by_what_distinguishes_them_only():
    line = one(sentences(small(optimizers=("adam", "sgd")), criteria=MEM), "tau_mem grows like n^")
    assert " at adam and n^" in line
    assert " at sgd (f_mem=0.1" in line
    assert "batch" not in line
    assert "W =" not in line


def test_several_widths_share_one_law(widths):
    assert " · W^−" in one(widths.conclusions, "tau_mem grows like n^")


def test_a_line_that_has_not_converged_says_why_and_what_would_tell(widths):
    assert one(widths.conclusions, "No architectural line has converged yet at W = 8")
    assert widths.conclusions[-1].startswith("Next: `tausweep refine synthetic --runs 4` names the runs")


def test_converged_lines_stand_before_those_that_have_not(widths):
    first, *others = widths.lines
    n_star = Estimate(estimate=19.0, low=17.0, high=24.0)
    changed = first.model_copy(update={"converged": True, "n_star": n_star, "verdict": "converged: …"})
    line = one(conclude(widths.model_copy(update={"lines": [changed, *others]})), "The architectural line")
    assert "has converged: n* = 19 [17, 24] at W = 8 (p = 17,920); not yet at W = 16 (" in line
    all_of_them = conclude(widths.model_copy(update={"lines": [changed]}))
    assert all_of_them[-1].startswith("Next: `tausweep report synthetic` draws the line")


def test_a_line_that_lacks_nothing_but_training_says_how_many_steps_would_tell(widths):
    changed = [
        line.model_copy(update={"n_star": Estimate(estimate=40.0, low=30.0, high=60.0), "converged": False})
        for line in widths.lines
    ]
    late = [run for run in widths.runs if run.W == 8 and run.crossings["f_mem=0.1"].censored == "right"]
    assert late
    assert conclude(widths.model_copy(update={"lines": changed}))[-1] == (
        f"Next: {3000 * len(late):,} more steps of the {len(late)} runs at W = 8 that have not memorised "
        f"(n = {min(run.n for run in late)} to {max(run.n for run in late)}, to tau = 6,000) would tell whether n* still moves."
    )


def test_a_floor_is_told_from_a_power_law():
    tables = small(n_values=(4, 8, 16, 32, 64), seeds=(0, 1, 2))
    n = np.array(tables.metrics["run_id"].to_pylist())
    sizes = np.array([int(name.split("-n")[1][:4]) for name in n])
    at = np.array(tables.metrics["tau"].to_pylist())
    # The loss gap reaches 0.1 at 300 + 20 n.
    gap = 0.1 * at / (300 + 20 * sizes)
    test = np.array([name == "test_loss" for name in tables.metrics["metric"].to_pylist()])
    value = pa.array(np.where(test, 1 + gap, 1.0))
    place = tables.metrics.schema.get_field_index("value")
    floored = dataclasses.replace(
        tables, metrics=tables.metrics.set_column(place, tables.metrics.schema.field(place), value)
    )
    line = one(sentences(floored, criteria=(LossGap(t=150.0),)), "Of the laws of tau_mem by loss_gap")
    assert "tau_0 + c·n" in line.split(" describes")[0]
    assert "a·n^alpha" in line.split("rejected: ")[-1]


def test_the_terminal_prints_them_first_then_one_table_and_the_rest_on_request(plain, capsys):
    print_fits(plain)
    brief = capsys.readouterr().out
    assert brief.startswith("\n".join(plain.conclusions))
    assert "Phase diagram" not in brief
    assert "f_mem=0.1@k1/2" not in brief.split("Laws of sweep")[1].split("note:")[0]
    print_fits(plain, everything=True)
    whole = capsys.readouterr().out
    assert "Phase diagram by f_mem=0.1" in whole
    assert "Laws that compete for the same runs" in whole
    print_fits(plain, chosen=["loss_gap=0.1@t150"])
    assert "loss_gap=0.1@t150" in capsys.readouterr().out.split("Laws of sweep")[1]
