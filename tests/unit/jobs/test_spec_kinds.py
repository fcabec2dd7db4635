"""Kinds of data, models, objectives and optimisers beside the first ones: the settings that only they have, their ids."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.spec import RunSpec
from storage.errors import SettingError

# Settings of the quickstart's kind of run; a kind's own settings come on top.
COMMON: dict[str, Any] = {"n": 16, "lr": 1e-3, "batch": "min(512, n)", "steps": 100, "seed": 0}

# Of each kind: settings that only it has, each with a value that is not its default.
OTHER_OF_KINDS: dict[str, dict[str, Any]] = {"gaussian_mixture": {"d": 9, "mu": 2.0, "test_samples": 100}}


def test_a_unet_refuses_vectors():
    words = "model = 'unet': needs images; data = gaussian_mixture gives vectors"
    with pytest.raises(SettingError, match=re.escape(words)):
        RunSpec.from_settings(
            COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "unprepared"}
        )


def test_vectors_have_no_fingerprint():
    with pytest.raises(SettingError, match="fingerprint = 'x'"):
        RunSpec.from_settings(COMMON | {"data": "gaussian_mixture", "d": 8, "W": 4, "fingerprint": "x"})
