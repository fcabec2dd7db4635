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
    "gaussian_mixture": {"d": 9, "mu": 2.0, "test_samples": 100},
    "imported": {"set": "flowers", "head_class": 2},
}


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
