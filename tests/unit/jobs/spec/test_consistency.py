"""The rules between settings: of several that are broken, the first in the table is told."""

from __future__ import annotations

import ast
import inspect

import pytest

from tausweep.jobs.spec import (
    consistency,
    data,
    evaluation,
    model,
    objective,
    optimizer,
    training,
)
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import SettingError
from tests.conftest import SETTINGS

BROKEN = {  # in the order of the table
    "head_class": {"head_class": 1},
    "norm_groups": {"norm_groups": 3},
    "loss_t": {"loss_t": [1000]},
    "eval_first": {"eval_first": 101},
    "guidance": {"guidance": 2},
    "fid_references": {"fid_references": 2},
    "frechet_dims": {"frechet_dims": 100_000},
}


def test_every_rule_is_in_the_table():
    rules = {
        function
        for name, function in inspect.getmembers(consistency, inspect.isfunction)
        if function.__module__ == consistency.__name__ and name != "require_consistent"
    }
    assert set(consistency.RULES) == rules


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_broken_rule_is_told(name):
    later = list(BROKEN)[list(BROKEN).index(name) :]
    settings = {key: value for rule in reversed(later) for key, value in BROKEN[rule].items()}
    with pytest.raises(SettingError) as error:
        RunSpec.from_settings(SETTINGS | settings)
    assert error.value.field == name


@pytest.mark.parametrize("group", [data, model, objective, optimizer, training, evaluation])
def test_a_group_of_settings_knows_no_other(group):
    own = {"fields"} | ({"extractor"} if group is evaluation else set())
    allowed = {f"tausweep.jobs.spec.{name}" for name in own}
    imports = [
        node for node in ast.walk(ast.parse(inspect.getsource(group))) if isinstance(node, ast.ImportFrom)
    ]
    assert {node.module for node in imports if "jobs.spec" in str(node.module)} <= allowed
