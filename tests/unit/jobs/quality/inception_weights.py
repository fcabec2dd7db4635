"""Weights for the real Inception architecture, drawn at random: the trained ones can't be shipped with the tests."""

from __future__ import annotations

import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


class _Unloaded(FeatureExtractorInceptionV3):
    def load_state_dict(self, *args, **kwargs):
        """Keep the values of construction."""


def random_inception(path):
    """Write a state dict of about unit gain to a file, 96 MB."""
    torch.save({}, path)
    torch.manual_seed(0)
    network = _Unloaded("unloaded", ["2048"], feature_extractor_weights_path=str(path))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path
