"""Conditional runs: their settings and defaults, the labels the network is told, and what is measured of each class."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tausweep.jobs.data.digits import digits, digits_labels
from tausweep.jobs.data.load import load
from tausweep.jobs.diffusion.guidance import drop_labels, guide
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation.evaluator import Evaluator
from tausweep.jobs.models.build import build_model, count_parameters
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec import model as spec_model
from tausweep.jobs.spec.fields import Group
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.loop import train
from tausweep.jobs.training.trainee import stepped_trainee
from tausweep.storage.errors import SettingError
from tests.unit.jobs.training.test_loop import CPU, METRIC, NEAR, TINY, Recorder, run

CONDITIONAL: dict[str, Any] = TINY | {"conditional": True, "n": 12, "multipliers": [1, 2]}


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_settings({**CONDITIONAL, **changes})


# --- settings ------------------------------------------------------------------------------------------------------


def test_a_conditional_run_drops_a_tenth_of_the_labels_and_is_not_guided_by_default() -> None:
    assert (spec().training.label_dropout, spec().evaluation.guidance, spec().classes) == (0.1, 1.0, 10)
    assert spec(label_dropout=0.1, guidance=1).run_id == spec().run_id


@pytest.mark.parametrize("name", ["conditional", "label_dropout", "guidance", "by_class"])
def test_an_unconditional_run_has_none_of_these_settings(name: str) -> None:
    assert name not in RunSpec.from_settings(TINY).settings()


def test_a_conditional_run_is_measured_by_class_whether_asked_for_or_not() -> None:
    assert spec(by_class=True).run_id == spec().run_id


@pytest.mark.parametrize(
    "changes", [{"conditional": False}, {"label_dropout": 0.2}, {"guidance": 2}], ids=str
)
def test_each_setting_makes_another_run(changes: dict[str, Any]) -> None:
    assert spec(**changes).run_id != spec().run_id


def test_measuring_by_class_makes_another_run() -> None:
    assert spec(conditional=False, by_class=True).run_id != spec(conditional=False).run_id


FOLDER = {"data": "folder", "size": 8}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (FOLDER, "conditional", "data = folder has no known number of classes"),
        (
            FOLDER | {"conditional": None, "by_class": True},
            "by_class",
            "data = folder has no known number of classes",
        ),
        ({"conditional": None, "label_dropout": 0.1}, "label_dropout", "only with conditional = true"),
        ({"conditional": None, "guidance": 2}, "guidance", "only with conditional = true"),
        ({"label_dropout": 0, "guidance": 2}, "guidance", "never learns the null class"),
        ({"label_dropout": 1.5}, "label_dropout", "less than or equal to 1"),
        ({"guidance": -1}, "guidance", "greater than or equal to 0"),
        ({"multipliers": [1, 1]}, "conditional", "does not see the class"),
        ({"samples": 9}, "samples", "at least one per class, 10"),
        ({"conditional": "yes"}, "conditional", "allowed: True"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        spec(**changes)
    assert caught.value.field == field


# --- data and networks ---------------------------------------------------------------------------------------------


def test_the_labels_of_the_digits_belong_to_their_images() -> None:
    split = load(spec(subset=2).data, digits())
    assert split.train_labels is not None
    assert split.test_labels is not None
    np.testing.assert_array_equal(split.train_labels, digits_labels()[24:36])
    np.testing.assert_array_equal(split.test_labels, digits_labels()[-512:])


NETWORKS = [
    (
        spec_model.UNet(W=8, multipliers=(1, 2), attention=(False, True), layers=1),
        4 * 8,
    ),  # of the time embedding
    (spec_model.MLP(model="mlp", W=8, blocks=1), 8),
]
networks = pytest.mark.parametrize(("model", "width"), NETWORKS, ids=["unet", "mlp"])


@networks
def test_p_grows_by_an_embedding_for_each_class_and_for_none(model: Group, width: int) -> None:
    plain, conditional = (count_parameters(model, (1, 8, 8), classes) for classes in (None, 10))
    assert conditional - plain == 11 * width


@networks
def test_the_answer_depends_on_the_label(model: Group, width: int) -> None:
    network = build_model(model, (1, 8, 8), classes=10).eval()
    with torch.no_grad():
        found = network(torch.ones(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1, 10]))
    # Far above rounding: norms can cancel an embedding, and rounding alone would then tell labels apart.
    assert (found[0] - found[1]).abs().max() > 1e-3
    assert (found[0] - found[2]).abs().max() > 1e-3


@networks
@pytest.mark.parametrize("classes", [None, 10])
def test_labels_are_given_to_conditional_networks_and_to_no_other(
    model: Group, width: int, classes: int | None
) -> None:
    labels = torch.zeros(2, dtype=torch.int64) if classes is None else None
    with pytest.raises(ValueError, match=r"label|class"):
        build_model(model, (1, 8, 8), classes=classes)(torch.ones(2, 1, 8, 8), torch.zeros(2), labels)


MIXTURE = {"data": "gaussian_mixture", "d": 3, "model": "mlp", "W": 16, "blocks": 1, "frechet_dims": 3}


def test_a_mixture_is_told_its_components() -> None:
    given = RunSpec.from_settings(
        {
            name: value
            for name, value in CONDITIONAL.items()
            if name not in ("fingerprint", "multipliers", "pixel_scale")
        }
        | MIXTURE
        | {"guidance": 2, "steps": 60}
    )
    recorder = Recorder()
    train(given, None, recorder, CPU)
    rows = {metric: value for tau, _, metric, value in recorder.values("metrics", *METRIC) if tau == 60}
    assert rows["n_class0"] + rows["n_class1"] == 12
    assert rows["samples_class0"] == rows["samples_class1"] == 6
    assert "score_error" not in rows  # of the mixture as a whole, which this network does not estimate


# --- training and evaluation ---------------------------------------------------------------------------------------


class Listener(torch.nn.Module):
    """A network that remembers the labels it was told."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.heard = network, []

    def forward(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.heard.append(labels.tolist())
        answer: torch.Tensor = self.network(x, t, labels)
        return answer


def test_a_step_tells_the_labels_of_its_images_but_for_those_dropped() -> None:
    given = spec(label_dropout=0.5, batch=12)
    split = load(given.data, digits())
    trainee = stepped_trainee(given, split, build_objective(given.objective, CPU), CPU, Ranks())
    listener = Listener(trainee.network)
    object.__setattr__(trainee, "network", listener)
    trainee.advance(0, 1)
    assert split.train_labels is not None
    own = torch.from_numpy(split.train_labels[trainee.batches(1)])
    assert listener.heard == [drop_labels(own, 0.5, 10, given.seed, 1).tolist()]
    assert 10 in listener.heard[0]


def evaluator(given: RunSpec) -> Evaluator:
    split = load(given.data, digits())
    return Evaluator(given, split, build_objective(given.objective, CPU), CPU, Ranks())


def network(given: RunSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(given.model, given.data.shape, classes=given.classes).eval()


def test_losses_are_those_with_the_true_labels() -> None:
    given = spec()
    made, model = evaluator(given), network(given)
    rows = {(name, t): value for name, t, value in made.measure(model).metrics}
    split, probe = load(given.data, digits()), made.probes[1]
    assert split.test_labels is not None
    labels = torch.from_numpy(split.test_labels[:16])
    with torch.no_grad():
        model.eval()
        expected = made.objective.loss(
            partial(model, labels=labels), probe.images, probe.noise, torch.full((16,), 150)
        )
    assert rows["test_loss", 150] == pytest.approx(expected.double().mean().item(), rel=1e-6)


def test_samples_are_guided_towards_each_class_in_turn() -> None:
    given = spec(guidance=3)
    made, model = evaluator(given), network(given)
    # The first twelve digits are 0 … 9, 0, 1.
    labels = torch.arange(12) % 10

    def guided(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = guide(model(x, t, labels), model(x, t, torch.full((12,), 10)), 3)
        return answer

    with torch.no_grad():
        expected = made.objective.sample(guided, made.starts, 3, made.clip)
        torch.testing.assert_close(made._samples(model), expected, rtol=1e-4, atol=1e-4)


def test_f_mem_of_a_class_is_that_of_its_samples() -> None:
    recorder = Recorder()
    run(spec(n=3, steps=40, lr=0.02, guidance=2), recorder)  # digits 0, 1, 2: sample i is of class i mod 3
    near = recorder.values("neighbours", *NEAR)
    rows = {(tau, metric): value for tau, _, metric, value in recorder.values("metrics", *METRIC)}
    for tau in spec(steps=40).taus:
        for label in range(3):
            own = [row[2] < row[3] / 3 for row in near if row[0] == tau and row[1] % 3 == label]
            assert rows[tau, f"f_mem_class{label}"] == np.mean(own)
            assert (rows[tau, f"samples_class{label}"], rows[tau, f"n_class{label}"]) == (4, 1)
    assert (40, "f_mem_class3") not in rows


def test_an_unconditional_run_counts_samples_for_the_class_of_their_nearest_image() -> None:
    recorder = Recorder()
    run(spec(conditional=None, by_class=True), recorder)
    last = [row for row in recorder.values("neighbours", *NEAR) if row[0] == 24]
    rows = {metric: value for tau, _, metric, value in recorder.values("metrics", *METRIC) if tau == 24}
    labels = digits_labels()[:12]
    for label in range(10):
        assert rows[f"samples_class{label}"] == sum(labels[row[4]] == label for row in last)
    assert "class_match" not in rows


def test_a_conditional_run_that_was_stopped_ends_as_one_that_was_not() -> None:
    whole, first = Recorder(), Recorder(stop_at=11)
    run(spec(), whole)
    run(spec(), first)
    second = Recorder(restored=first.states[11])
    run(spec(), second)
    both = first.values("metrics", *METRIC) + second.values("metrics", *METRIC)
    assert both == whole.values("metrics", *METRIC)
