"""The spec: one flat vocabulary, typed and checked, and an id that is the same for the same run only."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.spec import run_spec
from tausweep.jobs.spec.data import UNPREPARED
from tausweep.jobs.spec.run_spec import RunSpec, field_models, is_sequence, setting_names, settings_id
from tausweep.storage.errors import IdentityError, SettingError
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.record_tables import runs_table
from tests.conftest import SETTINGS
from tests.unit.jobs.spec.test_kinds import OTHER_OF_KINDS, RUNS

GOLDEN = "eee31e501ee2a835cca5"
FOLDER = {"data": "folder", "test_images": 1024}
KINDS = {"data", "model", "objective", "optimizer"}


def spec(**overrides):
    return RunSpec.from_settings(SETTINGS | overrides)


def run_id(**overrides):
    return spec(**overrides).run_id


def without(name):
    return {key: value for key, value in SETTINGS.items() if key != name}


# --- identity ------------------------------------------------------------------------------------------------------


def test_the_id_of_a_run_never_changes():
    """If this fails, every store in the world loses its runs: give a new setting None as default, or think again."""
    assert run_id() == GOLDEN


def test_the_id_is_twenty_hex_digits_of_the_settings_sha256():
    assert settings_id(spec().settings()) == run_id()
    assert len(run_id()) == 20
    assert set(run_id()) <= set("0123456789abcdef")


@given(order=st.permutations(list(SETTINGS)))
def test_the_order_of_the_settings_does_not_matter(order):
    assert RunSpec.from_settings({name: SETTINGS[name] for name in order}).run_id == GOLDEN


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("n", [16, 16.0, "16", "16.0"]),
        ("W", [4, 4.0, "4"]),
        ("lr", [0.001, "0.001", "1e-3", 1e-3]),
        ("steps", [100, 1e2, "100"]),
        ("pixel_scale", [1, 1.0, "1"]),
        ("dropout", [0, 0.0, -0.0, "0", "-0.0"]),
        ("batch", ["min(512, n)", "min(512,n)", " min( 512 , n ) "]),
        ("multipliers", [[1, 2], (1, 2), [1.0, "2"]]),
        ("attention", [[False, True], (False, True)]),
        ("clip", [None]),
        ("precision", [None]),
        ("channels_last", [None, False]),
        ("compile", [None, False]),
        ("sampler", [None, "ddim"]),
        ("eta", [None, 0, 0.0, -0.0, "0"]),
    ],
)
def test_one_value_in_any_spelling_is_one_run(name, spellings):
    assert {run_id(**{name: value}) for value in spellings} == {GOLDEN}


@pytest.mark.parametrize("size", [16, 16.0, "16", "16.0"])
def test_defaults_that_follow_from_a_setting_follow_from_any_spelling_of_it(size):
    assert spec(**FOLDER, size=size).model.multipliers == (1, 2, 4)


def test_batches_spelt_as_numbers_are_one_run():
    assert len({run_id(batch=batch) for batch in (64, 64.0, "64", " 64 ", "064")}) == 1


OTHER = {
    "n": 17,
    "subset": 1,
    "test_images": 513,
    "pixel_scale": 2,
    "imbalance": 10,
    "W": 8,
    "multipliers": [1, 1],
    "attention": [True, True],
    "layers": 2,
    "dropout": 0.1,
    "norm_groups": 2,
    "timesteps": 1001,
    "beta_start": 2e-4,
    "beta_end": 0.03,
    "prediction": "v",
    "sampler": "ancestral",
    "eta": 0.5,
    "lr": 2e-3,
    "beta1": 0.8,
    "beta2": 0.99,
    "batch": 16,
    "steps": 101,
    "warmup": 1,
    "clip": 1.0,
    "precision": "bf16",
    "channels_last": True,
    "compile": True,
    "eval_first": 31,
    "eval_per_decade": 9,
    "loss_t": [50, 150],
    "loss_pairs": 255,
    "samples": 199,
    "ddim_steps": 24,
    "clip_x0": False,
    "frechet_dims": 15,
    "gallery": 7,
    "conditional": True,
    "by_class": True,
    "extractor": "random_conv",
    "seed": 1,
    "fingerprint": "f",
    "optimizer": "sgd",
    "data": "folder",
}
OTHER_OF_FOLDER = {"size": 16, "color": "rgb"}
OF_OTHERS = {
    "momentum",
    "weight_decay",
    "fid_references",
    "label_dropout",
    "guidance",
}  # each has a test of its own
ONE_KIND_ONLY = {"experiment", "model", "objective"}


def test_the_tests_know_every_setting():
    of_kinds = {name for settings in OTHER_OF_KINDS.values() for name in settings}
    known = OTHER.keys() | OTHER_OF_FOLDER.keys() | OF_OTHERS | ONE_KIND_ONLY | of_kinds
    assert known == {*setting_names(), "fingerprint"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("precision", "bf61", "did you mean 'bf16'"),
        ("precision", 16, "Allowed: bf16"),
        ("compile", 1.5, "allowed: True"),
        ("channels_last", "yes", "allowed: True"),
    ],
)
def test_how_a_network_computes_is_one_of_few_words(name, value, words):
    with pytest.raises(SettingError, match=words) as caught:
        spec(**{name: value})
    assert (caught.value.field, caught.value.value) == (name, value)


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_changes_the_id(name):
    assert run_id(**{name: OTHER[name]}) != GOLDEN


@pytest.mark.parametrize("name", OTHER_OF_FOLDER)
def test_every_setting_of_a_folder_changes_the_id(name):
    assert run_id(**FOLDER, **{name: OTHER_OF_FOLDER[name]}) != run_id(**FOLDER)


def test_momentum_changes_the_id_of_sgd():
    assert run_id(optimizer="sgd", momentum=0.9) != run_id(optimizer="sgd")


def test_reference_sets_change_the_id_of_a_run_with_an_extractor():
    asked = {"extractor": "random_conv"}
    assert run_id(**asked, fid_references=2) != run_id(**asked)


def test_weight_decay_changes_the_id_of_adamw():
    assert run_id(optimizer="adamw", weight_decay=0.1) != run_id(optimizer="adamw")


@pytest.mark.parametrize("batch", [16, "min(512, n)"])
def test_gradient_descent_is_refused_with_any_batch_but_n(batch):
    with pytest.raises(SettingError, match="needs batch = n") as error:
        spec(optimizer="gd", batch=batch)
    assert (error.value.field, error.value.value) == ("batch", batch)
    assert spec(optimizer="gd", batch="n").batch_size == spec().data.n


def test_two_optimizers_with_the_same_numbers_are_two_runs():
    ids = {run_id(optimizer=kind, lr=0.01, batch="n") for kind in ("adam", "adamw", "sgd", "gd")}
    assert len(ids) == 4


def test_no_two_different_runs_share_an_id():
    grid = [
        run_id(n=n, W=W, seed=seed, optimizer=o)
        for n in (8, 16, 32)
        for W in (4, 8)
        for seed in range(20)
        for o in ("adam", "sgd")
    ]
    assert len(set(grid)) == len(grid)


def test_a_run_whose_images_are_not_known_yet_has_no_id():
    unprepared = spec(fingerprint=UNPREPARED)
    with pytest.raises(IdentityError, match="a run has no id before its images are known"):
        _ = unprepared.run_id
    assert unprepared.provisional_id not in (GOLDEN, spec(fingerprint=UNPREPARED, n=17).provisional_id)


def test_a_run_without_images_has_its_id_at_once():
    drawn, _ = RUNS["gaussian_mixture"]
    run = RunSpec.from_settings(drawn | {"fingerprint": UNPREPARED})
    assert run.run_id == run.provisional_id == RUNS["gaussian_mixture"][1]


def test_the_example_in_the_docstring_of_a_run_is_true():
    results = doctest.testmod(run_spec)
    assert results.attempted > 2
    assert results.failed == 0


# --- settings ------------------------------------------------------------------------------------------------------


def test_a_setting_that_is_none_is_left_out():
    assert "clip" not in spec(clip=None).settings()
    assert spec(clip=2).settings()["clip"] == 2.0


@pytest.mark.parametrize(
    "overrides", [{}, {"optimizer": "sgd", "clip": 1}, {**FOLDER, "color": "rgb"}, {"batch": 8}]
)
def test_settings_go_through_json_and_come_back_as_the_same_run(overrides):
    made = spec(**overrides)
    again = RunSpec.from_settings(json.loads(json.dumps(made.settings())))
    assert again == made
    assert again.settings() == made.settings()


@pytest.mark.parametrize("overrides", [{}, {"optimizer": "sgd"}, FOLDER])
def test_settings_are_complete(overrides):
    made = spec(**overrides)
    groups = (made.data, made.model, made.objective, made.optimizer, made.training, made.evaluation)
    fields = {
        name
        for group in groups
        for name, field in type(group).model_fields.items()
        if field.default is not None
    }
    assert made.settings().keys() == fields | {"experiment", "seed"}


def test_settings_are_json_values_of_the_declared_types():
    found = spec(lr="1e-3", n="16", pixel_scale=1).settings()
    types = {
        name: type(found[name]) for name in ("lr", "n", "pixel_scale", "multipliers", "batch", "clip_x0")
    }
    assert types == {
        "lr": float,
        "n": int,
        "pixel_scale": float,
        "multipliers": list,
        "batch": str,
        "clip_x0": bool,
    }


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        spec().seed = 1
    with pytest.raises(ValueError, match="frozen"):
        spec().data.n = 1


# --- wrong values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "nan", "inf", True, False])
@pytest.mark.parametrize(
    "name",
    ["n", "W", "lr", "beta1", "steps", "clip", "pixel_scale", "dropout", "seed", "batch", "frechet_dims"],
)
def test_neither_nan_nor_infinity_nor_a_truth_value_is_a_number(name, value):
    with pytest.raises(SettingError) as error:
        spec(**{name: value})
    assert error.value.field == name


@pytest.mark.parametrize("name", ["fingerprint", "n", "W", "lr", "batch", "steps", "seed"])
def test_what_has_no_default_must_be_given(name):
    with pytest.raises(SettingError, match=rf"{name} = None: missing \(.+\); give it in settings") as error:
        RunSpec.from_settings(without(name))
    assert error.value.field == name


WRONG = [
    ("n", 1, "greater than or equal to 2"),
    ("n", 16.5, "integer"),
    ("n", "many", "integer"),
    ("n", [16], "integer"),
    ("n", {"a": 1}, "integer"),
    ("subset", -1, "greater than or equal to 0"),
    ("test_images", 1, "greater than or equal to 2"),
    ("pixel_scale", 0, "greater than 0"),
    ("W", 2, "greater than or equal to 4"),
    ("W", 6, "multiple of 4"),
    ("W", 2**60, "less than or equal to 8192"),
    ("layers", 1_000_000, "less than or equal to 64"),
    ("multipliers", [1, 1000], "less than or equal to 64"),
    ("eval_per_decade", 10**9, "less than or equal to 1000"),
    ("W", {}, "integer"),
    ("multipliers", [], "at least one level"),
    ("multipliers", [1, 0], "greater than 0"),
    ("multipliers", [1, 2, 4, 8, 16], "give fewer levels"),
    ("multipliers", 2, "tuple"),
    ("layers", 0, "greater than 0"),
    ("dropout", 1, "less than 1"),
    ("norm_groups", 3, "a divisor of W = 4 is needed"),
    ("norm_groups", 0, "greater than 0"),
    ("dropout", -0.1, "greater than or equal to 0"),
    ("timesteps", 1, "greater than or equal to 2"),
    ("beta_start", 0, "greater than 0"),
    ("beta_end", 1, "less than 1"),
    ("prediction", "eps", "did you mean 'epsilon'? Allowed: epsilon, v"),
    ("sampler", "ancestrel", "did you mean 'ancestral'? Allowed: ancestral, ddim"),
    ("sampler", "euler", "llowed: ancestral, ddim"),
    ("eta", 1.5, "less than or equal to 1"),
    ("eta", -0.1, "greater than or equal to 0"),
    ("eta", "much", "valid number"),
    ("lr", 0, "greater than 0"),
    ("lr", -1e-3, "greater than 0"),
    ("lr", "fast", "valid number"),
    ("beta1", 1, "less than 1"),
    ("beta2", -1, "greater than or equal to 0"),
    ("batch", 0, "min(512, n)"),
    ("batch", -1, "min(512, n)"),
    ("batch", 1.5, "min(512, n)"),
    ("batch", "full", "n for full batch"),
    ("batch", "min(0, n)", "min(512, n)"),
    ("batch", "min(n, 512)", "min(512, n)"),
    ("batch", "²", "min(512, n)"),
    ("batch", [64], "min(512, n)"),
    ("batch", 10**30, "min(512, n)"),
    ("steps", 0, "greater than 0"),
    ("steps", 10**30, "less than"),
    ("warmup", -1, "greater than or equal to 0"),
    ("clip", 0, "greater than 0"),
    ("eval_first", 0, "greater than 0"),
    ("eval_first", 101, "at most steps = 100"),
    ("eval_per_decade", 0, "greater than 0"),
    ("loss_t", [], "at least one timestep"),
    ("loss_t", [5, 5], "each once"),
    ("loss_t", [-1], "greater than or equal to 0"),
    ("loss_t", [1000], "timesteps run from 0 to 999"),
    ("loss_pairs", 0, "greater than 0"),
    ("samples", 1, "greater than or equal to 2"),
    ("ddim_steps", 1001, "at most timesteps = 1000"),
    ("frechet_dims", 0, "greater than or equal to 1"),
    ("frechet_dims", 64, "must be below the pixels (64)"),
    ("gallery", 201, "at most samples = 200"),
    ("gallery", -1, "greater than or equal to 0"),
    ("seed", -1, "greater than or equal to 0"),
    ("seed", 2**63, "less than"),
    ("fingerprint", 5, "string"),
    ("experiment", "autoregressive", "allowed: diffusion"),
    ("data", "digit", "did you mean 'digits'? Allowed: celeba, digits, folder"),
    ("data", 3, "allowed: celeba, digits, folder"),
    ("model", "unett", "did you mean 'unet'?"),
    ("objective", "score", "Allowed: ddpm"),
    ("optimizer", "adams", "did you mean 'adam'? Allowed: adam, adamw, gd, sgd"),
    ("learning_rate", 0.1, "no such setting"),
    ("optimiser", "adam", "did you mean 'optimizer'?"),
    ("momentun", 0.9, "did you mean 'momentum'?"),
    ("momentum", 0.9, "only with optimizer = sgd; this run has optimizer = adam"),
    ("weight_decay", 0.1, "only with optimizer = adamw; this run has optimizer = adam"),
    ("size", 16, "only with data = folder or celeba or imported; this run has data = digits"),
]


@pytest.mark.parametrize(
    ("name", "value", "words"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG]
)
def test_a_wrong_setting_is_named_with_its_value_and_with_what_is_allowed(name, value, words):
    with pytest.raises(SettingError) as error:
        spec(**{name: value})
    assert error.value.field == name
    assert words in error.value.problem
    if name not in ("loss_t", "multipliers"):  # of a list the wrong element may be shown
        assert error.value.value == value
    assert error.value.exit_code == 2


@pytest.mark.parametrize(("value", "words"), [("small", "integer"), (3, "equal to 4"), (513, "equal to 512")])
def test_a_wrong_size_is_told_before_the_levels_that_follow_from_it(value, words):
    with pytest.raises(SettingError, match=words) as error:
        spec(**FOLDER, size=value)
    assert (error.value.field, error.value.value) == ("size", value)


@pytest.mark.parametrize("timesteps", [1000, 200, "200"])
def test_ancestral_sampling_takes_an_evaluation_at_each_timestep(timesteps):
    steps = int(timesteps)
    run = spec(sampler="ancestral", timesteps=timesteps, loss_t=[50])
    assert (run.evaluation.ddim_steps, run.objective.noise_share) == (steps, 1.0)
    assert spec(sampler="ancestral", timesteps=timesteps, loss_t=[50], ddim_steps=steps) == run
    assert RunSpec.from_settings(run.settings()) == run


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ddim_steps", 50, "visits all timesteps = 1000; leave ddim_steps out"),
        ("eta", 0.5, "only with sampler = ddim"),
        ("eta", 1, "only with sampler = ddim"),
    ],
)
def test_ancestral_sampling_leaves_no_choice(name, value, words):
    with pytest.raises(SettingError, match=words) as error:
        spec(sampler="ancestral", **{name: value})
    assert (error.value.field, error.value.value, error.value.exit_code) == (name, value, 2)


def test_eta_is_of_ddpm_alone():
    with pytest.raises(SettingError, match="only with objective = ddpm; this run has objective = flow_match"):
        spec(objective="flow_matching", eta=0.5)


def test_the_samplers_of_an_objective_are_named_by_it():
    with pytest.raises(SettingError, match="llowed: euler, heun, sde"):
        spec(objective="interpolant", sampler="ddim")


def test_levels_and_attention_must_be_as_many():
    with pytest.raises(SettingError, match="multipliers has 3 levels and attention 1; give the same number"):
        spec(multipliers=[1, 2, 4], attention=[True])


# --- what follows from settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "n", "size"),
    [
        (64, 16, 64),
        ("64", 16, 64),
        ("min(512, n)", 16, 16),
        ("min(512, n)", 1024, 512),
        ("n", 16, 16),
        ("n", 1024, 1024),
    ],
)
def test_the_batch_size_follows_from_policy_and_n(batch, n, size):
    assert spec(batch=batch, n=n).batch_size == size


def test_each_batch_policy_is_another_run_even_where_the_size_is_the_same():
    assert len({run_id(n=16, batch=batch) for batch in (16, "n", "min(16, n)", "min(512, n)")}) == 4


@given(first=st.integers(1, 1000), per_decade=st.integers(1, 30), factor=st.floats(1, 1e5))
def test_taus_are_log_spaced_from_the_first_and_end_at_the_last_step(first, per_decade, factor):
    steps = int(first * factor)
    taus = spec(eval_first=first, eval_per_decade=per_decade, steps=steps).taus
    exact = [first * 10 ** (i / per_decade) for i in range(5 * per_decade + 1)]
    assert taus == tuple(sorted({round(tau) for tau in exact if round(tau) <= steps} | {steps}))


def test_taus_of_the_paper_are_what_one_reads():
    assert spec(eval_first=10, eval_per_decade=1, steps=10_000).taus == (10, 100, 1000, 10_000)
    assert spec(eval_first=10, eval_per_decade=2, steps=100).taus == (10, 32, 100)
    assert spec(eval_first=100, steps=100).taus == (100,)


@pytest.mark.parametrize(("color", "shape"), [("grey", (1, 32, 32)), ("rgb", (3, 32, 32))])
def test_the_shape_of_a_folders_images_follows_from_size_and_color(color, shape):
    assert spec(**FOLDER, color=color).data.shape == shape


# --- the vocabulary ------------------------------------------------------------------------------------------------


def test_no_two_groups_share_a_setting():
    made = spec(), spec(optimizer="sgd", **FOLDER)
    names = ("data", "model", "objective", "optimizer", "training", "evaluation")
    fields = {name: {f for s in made for f in type(getattr(s, name)).model_fields} for name in names}
    assert sum(map(len, fields.values())) == len(set().union(*fields.values()))
    assert not {"experiment", "seed"} & set().union(*fields.values())


def test_settings_differ_in_more_than_their_case_and_from_the_stores_own_columns(tmp_path):
    columns = [*runs_table(StoreLayout(tmp_path)).column_names, *field_models()]  # SQL does not know n from N
    assert len({name.lower() for name in columns}) == len(columns)


def test_every_setting_says_what_it_is():
    undescribed = {
        name
        for name, models in field_models().items()
        if not all(m.model_fields[name].description for m in models)
    }
    assert undescribed == KINDS | {"experiment"}  # whose values are classes with a docstring


def test_what_is_filled_in_is_no_setting_that_a_user_writes():
    assert {*field_models()} - {*setting_names()} == {"fingerprint", "extractor_weights"}


def test_settings_that_are_lists_are_known():
    assert {name for name in setting_names() if is_sequence(name)} == {"multipliers", "attention", "loss_t"}


def test_the_spec_needs_no_torch():
    code = "import sys, tausweep.jobs.spec.run_spec; sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
