"""Feature extractors: torch-fidelity's interface, images in memory, and names that say what was measured."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from tausweep.jobs.quality.extractors import RandomConv, build_extractor
from tausweep.jobs.quality.frechet import Gaussian, distance
from tausweep.jobs.spec.extractor import metric_name, require_extractor, substitution, used_extractor
from tausweep.storage.errors import SettingError

CPU = torch.device("cpu")


class MeanColour(FeatureExtractorBase):
    """An extractor of a user's own."""

    def __init__(self, name, features_list, **kwargs):
        super().__init__(name, features_list)
        self.register_buffer("gain", torch.tensor(2.0))

    def forward(self, images):
        return (self.gain * images.float().mean((2, 3)),)

    @staticmethod
    def get_provided_features_list():
        return ("colour",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "colour"


class InMemory(Dataset):
    def __init__(self, images):
        self.images = torch.from_numpy(images)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8), dtype=np.uint8)


def test_random_conv_is_two_convolutions_and_tile_means(images):
    network = build_extractor("random_conv", None, CPU).network
    (first, second) = network.convolutions
    x = torch.from_numpy(images[:5]).double() / 127.5 - 1
    for layer, stride in ((first, 1), (second, 2)):
        patches = functional.unfold(x, 3, padding=1, stride=stride)  # (N, C·9, positions)
        y = layer.weight.double().flatten(1) @ patches + layer.bias.double()[:, None]
        x = y.clamp(min=0).unflatten(2, (8 // stride, 8 // stride))
    tiles = torch.stack([x[:, :, i : i + 2, j : j + 2].mean((2, 3)) for i in (0, 2) for j in (0, 2)], dim=2)
    found = build_extractor("random_conv", None, CPU)(images[:5], CPU)
    torch.testing.assert_close(found, tiles.flatten(1).float())


def test_random_conv_has_the_same_weights_everywhere():
    assert build_extractor("random_conv", None, CPU).digest.startswith("37611c10f36db026")


def test_grey_images_are_all_three_colours_alike(images):
    extractor = build_extractor("random_conv", None, CPU)
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey, CPU), extractor(np.repeat(grey, 3, axis=1), CPU))


def test_torch_fidelity_itself_finds_the_same_distance(images):
    other = images // 2
    extractor = build_extractor("random_conv", None, CPU)
    ours = distance(Gaussian.of(extractor(images, CPU).numpy()), Gaussian.of(extractor(other, CPU).numpy()))
    theirs = calculate_metrics(
        input1=InMemory(images),
        input2=InMemory(other),
        fid=True,
        feature_extractor="random_conv",
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)  # its means are float32


def test_an_extractor_of_ones_own_is_named_by_its_class(images):
    name = f"{__name__}:MeanColour"
    extractor = build_extractor(name, None, CPU)
    expected = 2 * images.astype(np.float64).mean((2, 3))
    np.testing.assert_allclose(extractor(images, CPU).numpy(), expected, rtol=1e-6)
    assert metric_name(name) == "frechet_MeanColour"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module:Net", "cannot be loaded: No module named 'no_such_module'"),
        (f"{__name__}:Missing", "has no attribute 'Missing'"),
        (f"{__name__}:InMemory", "is not a subclass of torch-fidelity's FeatureExtractorBase"),
    ],
)
def test_a_class_that_is_none_is_refused(name, problem):
    with pytest.raises(SettingError, match="extractor = ") as raised:
        build_extractor(name, None, CPU)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("incepton", "did you mean 'inception'"), ("random-conv", "did you mean 'random_conv'"),
                       ("vgg", "allowed: inception, random_conv"), ("a.b:", "package.module:Class")]
)  # fmt: skip
def test_an_unknown_extractor_is_refused_with_the_nearest_name(name, hint):
    with pytest.raises(SettingError) as raised:
        require_extractor(name)
    assert raised.value.field == "extractor"
    assert hint in str(raised.value)


def test_only_inception_is_called_fid():
    assert metric_name(used_extractor("inception", "ab" * 32)) == "fid"
    assert metric_name(used_extractor("inception", None)) == "frechet_random_conv"
    assert metric_name(used_extractor("random_conv", None)) == "frechet_random_conv"


def test_a_substitution_is_told_and_nothing_else():
    told = substitution("inception", None)
    assert told is not None
    assert "frechet_random_conv" in told
    assert "tausweep data fid-weights" in told
    assert substitution("inception", "ab" * 32) is None
    assert substitution("random_conv", None) is None


def test_digests_tell_networks_apart():
    first = build_extractor("random_conv", None, CPU)
    second = RandomConv("random_conv", ["tiles"])
    with torch.no_grad():
        second.convolutions[1].bias[3] += 1e-6
    from tausweep.jobs.quality.extractors import weights_digest

    assert weights_digest(RandomConv("other name", ["tiles"])) == first.digest
    assert weights_digest(second) != first.digest


def test_names_are_known_without_torch():
    code = "import sys, tausweep.jobs.spec.extractor; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
