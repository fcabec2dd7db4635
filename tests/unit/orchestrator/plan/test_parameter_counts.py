"""p of networks: counted once, remembered for the user, and never taken from what is not whole."""

from __future__ import annotations

import json

import pytest

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.plan import parameter_counts as plan_parameter_counts
from tausweep.orchestrator.plan.parameter_counts import network_key, parameter_counts
from tests.conftest import SETTINGS

SPEC = RunSpec.from_settings(SETTINGS | {"W": 8})


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """Networks that were counted, each as 1,234 parameters; the user's cache is empty."""
    asked = []

    def count(keys):
        asked.extend(keys)
        return [1234] * len(keys)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plan_parameter_counts, "count_parameters", count)
    return asked


def test_a_network_is_counted_once_whatever_the_store_and_the_seed(store, counted, tmp_path):
    other = RunSpec.from_settings(SPEC.settings() | {"seed": 5})
    for spec in (SPEC, other, SPEC):
        assert parameter_counts([spec], store) == {network_key(SPEC): 1234}
    assert counted == [network_key(SPEC)]
    wide = RunSpec.from_settings(SPEC.settings() | {"W": 12})
    assert len(parameter_counts([SPEC, wide], store)) == 2
    assert counted == [network_key(SPEC), network_key(wide)]
    assert not store.root.exists()


def test_another_version_of_what_builds_networks_counts_anew(store, counted, monkeypatch):
    parameter_counts([SPEC], store)
    monkeypatch.setattr(
        plan_parameter_counts, "version", lambda package: "99" if package == "diffusers" else "1"
    )
    parameter_counts([SPEC], store)
    assert len(counted) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"schema": 1, "p": 7}',
        '{"schema": 1, "network": "another", "p": 7}',
        '{"schema": 99, "p": 7}',
    ],
)
def test_what_is_not_whole_or_of_another_network_is_counted_anew(store, counted, content, tmp_path):
    parameter_counts([SPEC], store)
    (file,) = (tmp_path / "cache").rglob("*.json")
    file.write_text(content)
    assert parameter_counts([SPEC], store) == {network_key(SPEC): 1234}
    assert len(counted) == 2
    assert json.loads(file.read_text())["p"] == 1234


def test_a_cache_that_can_t_be_written_is_no_error(store, counted, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert parameter_counts([SPEC], store) == {network_key(SPEC): 1234}
