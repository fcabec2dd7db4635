"""A run's Fréchet distances in a network's features: what is compared with what, and under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.images import split, to_unit
from tausweep.jobs.data.split import Split
from tausweep.jobs.quality.extractors import build_extractor
from tausweep.jobs.quality.feature_distance import FeatureDistance, FeatureInputs, to_bytes
from tausweep.jobs.quality.frechet import Gaussian, distance
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import SettingError
from tests.unit.jobs.quality.inception_weights import random_inception
from tests.unit.jobs.training.test_loop import METRIC, TINY, Recorder, run, spec

CPU = torch.device("cpu")
DIGITS = digits()


@pytest.mark.parametrize("scale", [0.5, 1, 2])
@given(n=st.integers(2, 40), subset=st.integers(0, 5))
def test_held_out_images_come_back_to_the_bit(n: int, subset: int, scale: float) -> None:
    parts = split(DIGITS, spec(n=n, subset=subset, pixel_scale=scale, test_images=50).data)
    np.testing.assert_array_equal(to_bytes(parts.test, parts), DIGITS[-50:])


def test_samples_are_rounded_and_clipped_to_bytes() -> None:
    images = Split(train=np.zeros(0, np.float32), test=np.zeros(0, np.float32), mean=np.array([0.5]))
    values = np.array([-9, -0.5, -0.39, 0.0, 0.4999, 9], np.float32).reshape(1, 1, 2, 3)
    assert to_bytes(values, images).ravel().tolist() == [0, 0, 28, 128, 255, 255]


def built(**changes: Any) -> tuple[FeatureDistance, Split]:
    run_spec = spec(extractor="random_conv", **changes)
    parts = split(DIGITS, run_spec.data)
    return FeatureDistance(run_spec.evaluation, parts, FeatureInputs(), CPU, Ranks()), parts


def in_features(images: np.ndarray) -> Gaussian:
    return Gaussian.of(build_extractor("random_conv", None, CPU)(images, CPU).numpy())


def test_samples_are_compared_with_all_held_out_images() -> None:
    measure, parts = built()
    found = measure(parts.train)
    expected = distance(in_features(DIGITS[:6]), in_features(DIGITS[-512:]))
    assert found == {"frechet_random_conv": pytest.approx(expected, rel=1e-9)}


def test_with_several_reference_sets_it_is_the_mean_and_its_spread() -> None:
    measure, parts = built(fid_references=5)
    made = in_features(DIGITS[:6])
    held_out = DIGITS[-512:]
    each = [distance(made, in_features(held_out[i * 102 : (i + 1) * 102])) for i in range(5)]
    assert measure(parts.train) == {
        "frechet_random_conv": pytest.approx(sum(each) / 5, rel=1e-9),
        "frechet_random_conv_sd": pytest.approx(np.std(each, ddof=1), rel=1e-6),
    }


def test_held_out_images_are_nearer_than_noise_and_bright_ones() -> None:
    measure, parts = built()
    name = "frechet_random_conv"
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, parts.test.shape).astype(np.float32)
    real = to_unit(split(DIGITS, spec(n=400).data).train, parts.mean, 2)  # other images of the same kind
    shifted = (real * 2 - parts.mean[0] * 2).astype(np.float32)
    assert measure(parts.test)[name] < 1e-9
    assert measure(parts.test)[name] < measure(shifted)[name] < 0.2 * measure(drawn)[name]


def test_a_run_publishes_it_beside_the_others() -> None:
    recorder, plain = Recorder(), Recorder()
    run(spec(extractor="random_conv", fid_references=2), recorder)
    run(spec(), plain)
    rows = recorder.values("metrics", *METRIC)
    ours = [row for row in rows if row[2].startswith("frechet_random_conv")]
    assert {row[2] for row in ours} == {"frechet_random_conv", "frechet_random_conv_sd"}
    assert sorted({row[0] for row in ours}) == list(spec().taus)
    assert [row for row in rows if row not in ours] == plain.values("metrics", *METRIC)


def test_without_weights_nothing_is_called_fid() -> None:
    recorder = Recorder()
    run(spec(extractor="inception", steps=6), recorder)
    names = {row[0] for row in recorder.values("metrics", "metric")}
    assert "frechet_random_conv" in names
    assert not any(name.startswith("fid") for name in names)


class Counting:
    """Keeps statistics in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Gaussian] = {}

    def load(self, key: str) -> Gaussian | None:
        return self.kept.get(key)

    def save(self, key: str, found: Gaussian) -> None:
        assert key not in self.kept
        self.kept[key] = found


@pytest.mark.slow
def test_inception_measures_fid_of_images_in_memory(tmp_path: Path) -> None:
    """Real architecture, random weights: about half a second an image on a core."""
    weights, statistics = random_inception(tmp_path / "weights.pth"), Counting()
    changes = {"extractor": "inception", "extractor_weights": "ab" * 32, "test_images": 12, "steps": 6}
    for _ in range(2):
        recorder = Recorder()
        inputs = FeatureInputs(weights=weights, statistics=statistics)
        run(spec(fid_references=2, samples=4, frechet_dims=2, **changes), recorder, features=inputs)
    values = dict(recorder.values("metrics", "metric", "value"))
    assert values["fid"] > 0
    assert values["fid_sd"] >= 0
    assert not any("random_conv" in name for name in values)
    assert sorted(found.factor.shape for found in statistics.kept.values()) == [(6, 2048)] * 2


# --- settings ------------------------------------------------------------------------------------------------------


def refuse(change: dict[str, Any]) -> SettingError:
    with pytest.raises(SettingError) as raised:
        RunSpec.from_settings(TINY | change)
    return raised.value


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"extractor": "incepton"}, "extractor", "did you mean 'inception'"),
        ({"fid_references": 3}, "fid_references", "only with an extractor"),
        ({"extractor": "random_conv", "fid_references": 1}, "fid_references", "greater than or equal to 2"),
        (
            {"extractor": "random_conv", "fid_references": 257},
            "fid_references",
            "at most half of test_images",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    change: dict[str, Any], field: str, problem: str
) -> None:
    error = refuse(change)
    assert error.field == field
    assert problem in str(error)


@pytest.mark.parametrize(
    "change",
    [{"extractor": "random_conv"}, {"extractor": "inception"}, {"extractor": "a.b:C"},
     {"extractor": "inception", "extractor_weights": "ab" * 32}, {"extractor": "random_conv", "fid_references": 2}],
)  # fmt: skip
def test_what_is_measured_enters_the_id(change: dict[str, Any]) -> None:
    assert spec(**change).run_id != spec().run_id
    assert RunSpec.from_settings(spec(**change).settings()).run_id == spec(**change).run_id


def test_options_that_are_not_given_are_left_out_of_the_id() -> None:
    settings = spec().settings()
    assert not {"extractor", "extractor_weights", "fid_references"} & settings.keys()
