"""Kinds of data, models, objectives and optimisers beside the first ones: the settings that only they have, their ids."""

from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import Any

import pytest

from tausweep.jobs.spec.kinds import GROUPS, kinds_of
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import SettingError
from tests.conftest import SETTINGS

# Settings of the quickstart's kind of run; a kind's own settings come on top.
COMMON: dict[str, Any] = {"n": 16, "lr": 1e-3, "batch": "min(512, n)", "steps": 100, "seed": 0}

# Of each kind: settings that only it has, each with a value that is not its default.
OTHER_OF_KINDS: dict[str, dict[str, Any]] = {
    "gaussian_mixture": {"d": 9, "mu": 2.0, "variance": 0.5, "test_samples": 100},
    "gaussian": {
        "covariance": "two_point", "variance_low": 0.4, "variance_high": 1.6, "variance_decay": 2.0
    },
    "student_t": {"nu": 4.0},
    "mlp": {"blocks": 2},
    "random_features": {"psi_p": 3, "activation": "erf"},
    "score_at_t": {"diffusion_time": 0.2},
    "flow_matching": {"sampler": "heun"},
    "interpolant": {"sampler": "heun", "path": "latent"},
    "imported": {"set": "flowers", "head_class": 2, "imbalance": 10, "label_classes": 3},
    "random_conv": {"fid_references": 2},
}  # fmt: skip
MIXTURE: dict[str, Any] = COMMON | {"data": "gaussian_mixture", "d": 8, "model": "mlp"}
DIGITS: dict[str, Any] = COMMON | {"fingerprint": "x", "W": 4}
LINEAR: dict[str, Any] = COMMON | {
    "d": 8, "batch": "n", "model": "random_features", "psi_p": 2, "objective": "score_at_t",
    "diffusion_time": 0.1, "optimizer": "gd",
}  # fmt: skip

# A run of each kind and its id, which never changes.
RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "gaussian_mixture": (MIXTURE, "8f10ebecba19caa6c302"),
    "mlp": (MIXTURE, "8f10ebecba19caa6c302"),
    "gaussian": (LINEAR | {"data": "gaussian"}, "8fac0f85e0a74010f08c"),
    "student_t": (LINEAR | {"data": "student_t", "nu": 3.0}, "ad51627d43b4a29f5883"),
    "random_features": (LINEAR | {"data": "gaussian"}, "8fac0f85e0a74010f08c"),
    "score_at_t": (LINEAR | {"data": "gaussian"}, "8fac0f85e0a74010f08c"),
    "imported": (DIGITS | {"data": "imported", "set": "trees", "imbalance": 5}, "df4084b97ee67ae38623"),
    "celeba": (DIGITS | {"data": "celeba"}, "73c5b955927aa0dd6b31"),
    "random_conv": (DIGITS | {"extractor": "random_conv"}, "dd518bea4a9e722b30de"),
    "flow_matching": (DIGITS | {"objective": "flow_matching"}, "615b6338e9b1fe14fbcb"),
    "interpolant": (DIGITS | {"objective": "interpolant"}, "fcc47977acfb38a5e18f"),
    "adamw": (DIGITS | {"optimizer": "adamw"}, "144e3f0eca2ebb0622b7"),
    "gd": (DIGITS | {"optimizer": "gd", "batch": "n"}, "d204bd0e1f1dd1a121cd"),
}


WITHOUT_BUILDER = {"score_at_t"}
KINDS = {name: kind for group in GROUPS for name, kind in kinds_of(group).items()}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - WITHOUT_BUILDER))
def test_the_builder_that_a_kind_names_is_there(kind):
    assert callable(resolve_name(KINDS[kind].builder))


@pytest.mark.parametrize("kind", RUNS)
def test_the_id_of_a_run_of_each_kind_never_changes(kind):
    settings, run_id = RUNS[kind]
    assert RunSpec.from_settings(settings).run_id == run_id


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, other in OTHER_OF_KINDS.items() for name, value in other.items()],
)
def test_every_setting_of_a_kind_changes_the_id(kind, name, value):
    settings, _ = RUNS[kind]
    assert RunSpec.from_settings(settings | {name: value}).run_id != RunSpec.from_settings(settings).run_id


def test_a_unet_refuses_vectors():
    words = "model = 'unet': needs images; data = gaussian_mixture gives vectors"
    with pytest.raises(SettingError, match=re.escape(words)):
        RunSpec.from_settings(
            COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "unprepared"}
        )


def test_vectors_have_no_fingerprint():
    with pytest.raises(SettingError, match="fingerprint = 'x'"):
        RunSpec.from_settings(COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "x"})


def test_an_image_set_has_a_name_and_celeba_is_one():
    celeba = RunSpec.from_settings(SETTINGS | {"data": "celeba", "size": 16, "color": "rgb"})
    assert (celeba.data.shape, celeba.data.test_images) == ((3, 16, 16), 2048)
    named = RunSpec.from_settings(SETTINGS | {"data": "imported", "set": "flowers"})
    assert named.data.shape == (1, 32, 32)
    with pytest.raises(SettingError, match="set = None: missing"):
        RunSpec.from_settings(SETTINGS | {"data": "imported"})
    with pytest.raises(SettingError, match=r"set = '\.\./x'"):
        RunSpec.from_settings(SETTINGS | {"data": "imported", "set": "../x"})


def test_a_head_class_needs_a_long_tail_and_a_long_tail_needs_classes():
    long = RunSpec.from_settings(SETTINGS | {"imbalance": 10, "head_class": 3})
    assert long.run_id != RunSpec.from_settings(SETTINGS).run_id
    with pytest.raises(SettingError, match="head_class = 3: only with imbalance"):
        RunSpec.from_settings(SETTINGS | {"head_class": 3})
    with pytest.raises(SettingError, match="imbalance = 10: only with data = digits or imported"):
        RunSpec.from_settings(SETTINGS | {"data": "folder", "imbalance": 10})


def test_the_mixture_and_its_network_have_the_papers_sizes_by_default():
    made = RunSpec.from_settings(MIXTURE)
    assert (made.data.mu, made.data.variance, made.model.W, made.model.blocks) == (1.0, 1.0, 128, 3)
    assert made.data.shape == (8,)


def test_the_width_of_an_mlp_changes_the_id():
    assert RunSpec.from_settings(MIXTURE | {"W": 64}).run_id != RunSpec.from_settings(MIXTURE).run_id


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mu", -1, "greater than 0"),
        ("variance", 0, "greater than 0"),
        ("W", 7, "multiple of 2"),
        ("blocks", 0, "greater than 0"),
        ("samples", 8, "must be above d = 8"),
        ("channels_last", True, "only with model = unet"),
        ("layers", 2, "only with model = unet; this run has model = mlp"),
        ("pixel_scale", 2, "only with data = "),
    ],
)
def test_what_mixture_and_mlp_cannot_be_is_named(name, value, words):
    with pytest.raises(SettingError, match=re.escape(words)) as error:
        RunSpec.from_settings(MIXTURE | {"gallery": 0} | {name: value})
    assert error.value.field == name


def test_the_mlp_also_takes_images():
    images = COMMON | {"fingerprint": "x", "model": "mlp", "W": 64}
    assert RunSpec.from_settings(images).model.W == 64
