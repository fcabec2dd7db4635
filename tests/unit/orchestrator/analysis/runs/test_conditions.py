"""Conditions: named by the settings that differ, one name where several say the same, and a width axis for every model."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.analysis.runs.conditions import divided
from tausweep.orchestrator.analysis.runs.curves import RunCurves
from tausweep.orchestrator.analysis.runs.grouping import group_words, width_words

DDPM = {"objective": "ddpm", "beta_start": 1e-4, "prediction": "epsilon", "timesteps": 1000}
FLOW = {"objective": "flow_matching", "sampler": "euler"}
INTERPOLANT = {"objective": "interpolant", "sampler": "sde", "path": "latent"}


def run(place, p=500, **settings):
    filled = {
        "data": "digits",
        "fingerprint": "0123456789abcdef",
        "optimizer": "adam",
        "batch": "n",
        "seed": 0,
        **settings,
    }
    return RunCurves(
        run_id=f"r{place}", state="succeeded", p=p, k=1 / 3, settings=filled, histories=None, metrics={}
    )


def words(*settings):
    """The words of each run's condition besides width, and the pooled settings."""
    measured = divided([run(place, **one) for place, one in enumerate(settings)])
    return [group_words(measured.of_run[f"r{place}"])[2:] for place in range(len(settings))], measured.pooled


def grid(*kinds, n=(8, 16)):
    return [{"n": size, "W": 8, **kind} for kind in kinds for size in n]


def test_an_objective_names_its_condition_and_its_own_settings_add_nothing():
    found, pooled = words(*grid(DDPM, FLOW, INTERPOLANT))
    names = ["objective = ddpm", "objective = flow_matching", "objective = interpolant"]
    assert found == [[name] for name in names for _ in range(2)]
    assert pooled == []


def test_what_divides_one_kind_further_is_named_beside_it():
    found, _ = words(*grid(DDPM, DDPM | {"prediction": "v"}, FLOW))
    assert found[0] == ["objective = ddpm", "prediction = epsilon"]
    assert found[2] == ["objective = ddpm", "prediction = v"]
    assert found[4] == ["objective = flow_matching", "prediction = none"]


def test_samplers_with_other_noise_are_conditions_of_their_own():
    found, pooled = words(*grid(DDPM, DDPM | {"eta": 0.5}, DDPM | {"eta": 1.0}))
    assert found[::2] == [["eta = none"], ["eta = 0.5"], ["eta = 1.0"]]
    assert pooled == []


def test_samplers_of_other_steps_are_conditions_of_their_own():
    names, pooled = words(*grid(DDPM | {"ddim_steps": 12}, DDPM | {"ddim_steps": 50}))
    assert names[::2] == [["ddim_steps = 12"], ["ddim_steps = 50"]]
    assert pooled == []


def test_a_rate_that_was_chosen_for_each_kind_is_not_a_name():
    found, pooled = words(*grid(DDPM | {"lr": 0.004}, FLOW | {"lr": 0.002}))
    assert found[0] == ["objective = ddpm"]
    assert pooled == []


def test_a_rate_that_was_chosen_for_each_kind_and_n_is_pooled():
    rates = iter([0.004, 0.003, 0.002, 0.001])
    runs = [one | {"lr": next(rates)} for one in grid(DDPM, FLOW)]
    found, pooled = words(*runs)
    assert found == [["objective = ddpm"]] * 2 + [["objective = flow_matching"]] * 2
    assert pooled == ["lr"]


def test_data_are_named_by_their_kind_and_by_their_content_only_where_the_kind_is_one():
    other = {"data": "folder", "fingerprint": "fedcba9876543210"}
    assert words(*grid({}, other))[0] == [["data = digits"]] * 2 + [["data = folder"]] * 2
    same = {"fingerprint": "fedcba9876543210"}
    assert words(*grid({}, same))[0] == [["fingerprint = 01234567"]] * 2 + [["fingerprint = fedcba98"]] * 2


@pytest.mark.parametrize("name", ["extractor", "fid_references", "loss_t", "samples", "steps", "gallery"])
def test_what_only_measures_divides_nothing(name):
    assert words(*grid({name: "a"}, {name: "b"})) == ([[]] * 4, [])


def test_replicates_divide_nothing():
    assert words(*grid({"seed": 1, "subset": 0}, {"seed": 2, "subset": 3})) == ([[]] * 4, [])


def test_a_setting_is_named_at_every_width_though_it_differs_at_one():
    narrow = grid({"dropout": 0.1}, {"dropout": 0.2})
    wide = [one | {"W": 16} for one in grid({"dropout": 0.1})]
    assert words(*narrow, *wide)[0][-1] == ["dropout = 0.1"]


def test_the_width_of_a_model_without_W_is_p():
    runs = [
        run(0, n=8, W=16, model="unet", p=70_000),
        run(1, n=8, width=128, model="mlp", p=33_000),
        run(2, n=8, width=256, model="mlp", p=99_000),
    ]
    of_run = divided(runs).of_run
    assert [width_words(of_run[f"r{i}"]) for i in range(3)] == ["W = 16", "p = 33,000", "p = 99,000"]
    assert [of_run[f"r{i}"].W for i in range(3)] == [16, 33_000, 99_000]


def test_the_dimension_of_data_is_named_though_p_changes_with_it():
    runs = [
        run(0, n=8, width=128, d=8, p=30_000),
        run(1, n=8, width=128, d=16, p=32_000),
    ]
    of_run = divided(runs).of_run
    assert [group_words(of_run[f"r{i}"])[2:] for i in range(2)] == [["d = 8"], ["d = 16"]]


def test_runs_without_optimizer_and_batch_have_conditions_too():
    bare = RunCurves(
        run_id="a", state="succeeded", p=64, k=1 / 3, settings={"n": 8}, histories=None, metrics={}
    )
    of_run = divided([bare]).of_run
    assert group_words(of_run["a"]) == []
    assert width_words(of_run["a"]) == "p = 64"
