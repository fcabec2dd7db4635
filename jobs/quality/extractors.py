"""Networks that extract features of images, all of them torch-fidelity's FeatureExtractorBase.

Called by the measures of quality with images in memory; loaded only by runs with an extractor, for
torch-fidelity is an extra. As in torch-fidelity, a network takes uint8 RGB images (N, 3, H, W).
"""

from __future__ import annotations

import hashlib
import importlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
from torch_fidelity.utils import create_feature_extractor

from tausweep.jobs.spec.extractor import INCEPTION, SUBSTITUTE
from tausweep.storage.errors import DataError, SettingError

_INCEPTION_IN_TORCH_FIDELITY = "inception-v3-compat"
_CHUNK = 256  # images through the network at once; bounds memory


class RandomConv(FeatureExtractorBase):  # type: ignore[misc]  # torch-fidelity is untyped
    """Two convolutions with fixed random weights and a coarse mean over space: 64 features.

    Random features distinguish images without a trained network. They do not know what a picture shows, so
    their distances can be compared only with each other.
    """

    CHANNELS = (32, 16)
    GRID = 2  # features are means over GRID × GRID tiles
    SEED = 20151205

    def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
        super().__init__(name, features_list)
        draw = np.random.Generator(
            np.random.Philox(self.SEED)
        )  # numpy's normals are the same on every machine
        first, second = self.CHANNELS
        layers = [nn.Conv2d(3, first, 3, padding=1), nn.Conv2d(first, second, 3, stride=2, padding=1)]
        for layer in layers:
            shape = layer.weight.shape
            weight = draw.standard_normal(tuple(shape)) * np.sqrt(2 / shape[1:].numel())  # He et al. 2015
            layer.weight.data = torch.from_numpy(weight).float()
            assert layer.bias is not None
            layer.bias.data = torch.from_numpy(0.1 * draw.standard_normal(shape[0])).float()
        self.convolutions = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Features of images: (N, 3, H, W) uint8 → (N, 64) float32."""
        x = images.float() / 127.5 - 1
        for layer in self.convolutions:
            x = functional.relu(layer(x))
        return (functional.adaptive_avg_pool2d(x, self.GRID).flatten(1),)

    @staticmethod
    def get_provided_features_list() -> tuple[str]:
        """The only layer."""
        return ("tiles",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:  # noqa: ARG004 - torch-fidelity's interface
        """The only layer, for every metric."""
        return "tiles"

    @staticmethod
    def can_be_compiled() -> bool:
        """False: such a small network gains nothing."""
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        """An image."""
        return torch.zeros((1, 3, 8, 8), dtype=torch.uint8)


@dataclass(frozen=True)
class Extractor:
    """A network that extracts features of images.

    Attributes:
        name: as the settings have it.
        network: torch-fidelity's, with one layer requested.
        digest: sha256 of its weights, in hex.
    """

    name: str
    network: FeatureExtractorBase
    digest: str

    @torch.no_grad()
    def __call__(self, images: NDArray[np.uint8], device: torch.device) -> Tensor:
        """Features of images, computed on the device: (N, 1 or 3, H, W) uint8 → (N, d) float32 on the CPU.

        N above 0.
        """
        pixels = torch.from_numpy(images).expand(-1, 3, -1, -1)  # grey becomes three equal colours
        chunks = [self.network(chunk.to(device)) for chunk in torch.split(pixels, _CHUNK)]
        (layer,) = self.network.get_requested_features_list()
        named = [self.network.convert_features_tuple_to_dict(features) for features in chunks]
        return torch.cat([features[layer].float().cpu() for features in named])


def build_extractor(name: str, weights: Path | None, device: torch.device) -> Extractor:
    """An extractor by its name.

    Args:
        name: `inception`, `random_conv`, or `package.module:Class`.
        weights: Inception's, in torch-fidelity's format; None for others.
        device: where it computes.

    Raises:
        SettingError: the class does not exist, or is not a FeatureExtractorBase.
    """
    registered = _registered(name)
    layer = FEATURE_EXTRACTORS_REGISTRY[registered].get_default_feature_layer_for_metric("fid")
    path = None if weights is None else str(weights)
    network = create_feature_extractor(
        registered, [layer], cuda=False, feature_extractor_weights_path=path, verbose=False
    )
    return Extractor(name, network.to(device), weights_digest(network))


def _registered(name: str) -> str:
    """Register an extractor with torch-fidelity; return its name there."""
    if name == INCEPTION:
        return _INCEPTION_IN_TORCH_FIDELITY
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, RandomConv if name == SUBSTITUTE else _own_class(name))
    return name


def _own_class(name: str) -> type[FeatureExtractorBase]:
    module, _, attribute = name.partition(":")
    try:
        loaded = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError("extractor", name, f"cannot be loaded: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, FeatureExtractorBase)):
        raise SettingError("extractor", name, "is not a subclass of torch-fidelity's FeatureExtractorBase")
    return loaded


def weights_digest(network: nn.Module) -> str:
    """Digest of a network's tensors, learnt or random, not of a file; sha256 in hex."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_inception(path: Path) -> None:
    """Check that a file holds weights of torch-fidelity's Inception, and nothing that would be executed.

    Raises:
        DataError: it does not; the message says why.
    """
    wrong = f"{path}: not weights of torch-fidelity's Inception network"
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError) as error:
        raise DataError(f"{wrong}; a file of tensors by name, as torch.save makes it, is needed") from error
    try:  # torch-fidelity lets torch execute the file's contents; this one was just checked to hold only tensors
        build_extractor(INCEPTION, path, torch.device("cpu"))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise DataError(f"{wrong}; its tensors differ ({' '.join(str(error).split())[:200]})") from error
