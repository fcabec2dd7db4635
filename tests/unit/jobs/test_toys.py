"""A data set, a model or a metric is one file and one line: a toy of each is registered, trained and removed again."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from tausweep.jobs.data.load import load
from tausweep.jobs.evaluation import metrics
from tausweep.jobs.models.build import build_model, count_parameters
from tausweep.jobs.spec import kinds
from tausweep.jobs.spec.run_spec import RunSpec, setting_names
from tausweep.jobs.training.loop import Outcome, train
from tausweep.storage.errors import SettingError
from tests.unit.jobs.toys.centre import distance_of_centres
from tests.unit.jobs.toys.perceptron import Perceptron
from tests.unit.jobs.training.test_loop import Recorder

TOY: dict[str, Any] = {
    "data": "ring", "d": 2, "radius": 3, "model": "perceptron", "n": 8, "batch": "n", "lr": 0.01, "steps": 20,
    "eval_first": 10, "eval_per_decade": 2, "samples": 8, "ddim_steps": 4, "test_samples": 16, "seed": 0,
}  # fmt: skip
RING = "tests.unit.jobs.toys.ring:Ring"  # by name, as a kind above the settings is registered
CPU = torch.device("cpu")


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", [*kinds.KINDS, RING, Perceptron])


@pytest.mark.usefixtures("registered")
def test_a_toy_data_set_and_a_toy_model_are_trained_and_measured():
    spec, recorder = RunSpec.from_settings(TOY), Recorder()
    assert train(spec, None, recorder, CPU) == Outcome(tau=20, finished=True)
    rows = recorder.values("metrics", "tau", "metric")
    assert {tau for tau, _ in rows} == {10, 20}
    assert {name for _, name in rows} == {"train_loss", "test_loss", "f_mem"}


@pytest.mark.usefixtures("registered")
def test_a_toy_metric_is_a_row_of_every_evaluation(monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", [*metrics.METRICS, distance_of_centres])
    recorder = Recorder()
    train(RunSpec.from_settings(TOY), None, recorder, CPU)
    rows = recorder.values("metrics", "tau", "t", "metric", "value")
    toy = [row for row in rows if row[2] == "centre_distance"]
    assert [(tau, t) for tau, t, *_ in toy] == [(10, None), (20, None)]
    assert all(0 < value < 100 for *_, value in toy)


@pytest.mark.usefixtures("registered")
def test_builders_of_toys_are_found_by_their_names():
    spec = RunSpec.from_settings(TOY)
    split = load(spec.data, None)
    assert split.train.shape == (8, 2)
    assert torch.from_numpy(split.train).norm(dim=1) == pytest.approx(torch.full((8,), 3.0).numpy())
    assert build_model(spec.model, (2,))(torch.zeros(5, 2), torch.zeros(5)).shape == (5, 2)
    assert count_parameters(spec.model, (2,)) == 3 * 8 + 8 + 8 * 2 + 2


@pytest.mark.usefixtures("registered")
def test_settings_of_toys_are_settings_like_all_others():
    assert {"radius", "hidden"} <= set(setting_names())
    ids = {RunSpec.from_settings(TOY | more).run_id for more in ({}, {"radius": 4}, {"hidden": 9})}
    assert len(ids) == 3
    assert RunSpec.from_settings(RunSpec.from_settings(TOY).settings()).run_id in ids
    with pytest.raises(SettingError, match=r"radius = -1.*greater than 0"):
        RunSpec.from_settings(TOY | {"radius": -1})
    with pytest.raises(SettingError, match="hidden = 4: only with model = perceptron"):
        RunSpec.from_settings(TOY | {"model": "mlp", "hidden": 4})


def test_a_toy_that_is_not_registered_is_no_kind():
    with pytest.raises(SettingError, match="data = 'ring'"):
        RunSpec.from_settings(TOY)
    assert not {"radius", "hidden"} & set(setting_names())


def test_the_settings_of_a_toy_model_load_no_torch():
    code = "import sys, tests.unit.jobs.toys.perceptron; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
