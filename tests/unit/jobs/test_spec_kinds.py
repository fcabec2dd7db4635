"""Kinds of data, models, objectives and optimisers beside the first ones: the settings that only they have, their ids."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.spec import RunSpec
from storage.errors import SettingError
from tests.conftest import SETTINGS

# Settings of the quickstart's kind of run; a kind's own settings come on top.
COMMON: dict[str, Any] = {"n": 16, "lr": 1e-3, "batch": "min(512, n)", "steps": 100, "seed": 0}

# Of each kind: settings that only it has, each with a value that is not its default.
OTHER_OF_KINDS: dict[str, dict[str, Any]] = {
    "gaussian_mixture": {"d": 9, "mu": 2.0, "variance": 0.5, "test_samples": 100},
    "mlp": {"blocks": 2},
    "imported": {"set": "flowers", "head_class": 2},
}
MIXTURE: dict[str, Any] = COMMON | {"data": "gaussian_mixture", "d": 8, "model": "mlp"}


def test_a_unet_refuses_vectors():
    words = "model = 'unet': needs images; data = gaussian_mixture gives vectors"
    with pytest.raises(SettingError, match=re.escape(words)):
        RunSpec.from_settings(
            COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "unprepared"}
        )


def test_vectors_have_no_fingerprint():
    with pytest.raises(SettingError, match="fingerprint = 'x'"):
        RunSpec.from_settings(COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "x"})


def test_the_mixture_and_its_network_have_the_papers_sizes_by_default():
    made = RunSpec.from_settings(MIXTURE)
    assert (made.data.mu, made.data.variance, made.model.W, made.model.blocks) == (1.0, 1.0, 128, 3)
    assert made.data.shape == (8,)


@pytest.mark.parametrize(
    ("name", "value"),
    [*OTHER_OF_KINDS["gaussian_mixture"].items(), *OTHER_OF_KINDS["mlp"].items(), ("W", 64)],
)
def test_every_setting_of_mixture_and_mlp_changes_the_id(name, value):
    assert RunSpec.from_settings(MIXTURE | {name: value}).run_id != RunSpec.from_settings(MIXTURE).run_id


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
