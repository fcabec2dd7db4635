"""The network: diffusers' UNet2DModel, its channels given by the base width W.

Called by `jobs.models.build`. Knows nothing about diffusion. Importing it loads torch and parts of diffusers
(seconds), so layers above import it only where a model is needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.jobs.models.light_diffusers import UNet2DModel
from tausweep.jobs.spec import model as spec_model

_HEAD_CHANNELS = 8


class UNet(nn.Module):
    """Wraps UNet2DModel as `model(x, t)` that returns a tensor.

    Attributes:
        unet: the diffusers model.
        bf16: whether it computes under autocast to bfloat16; weights, input and output stay float32.
    """

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet
        self.bf16 = False

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict from x (N, C, H, W), timesteps t (N,) and, if conditional, labels (N,) int64.

        Returns:
            (N, C, H, W), in the dtype of x.
        """
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            prediction: Tensor = self.unet(x, t, class_labels=labels, return_dict=False)[0]
        return prediction.to(x.dtype)


def build_unet(
    model: spec_model.UNet, shape: tuple[int, ...], *, bf16: bool = False, classes: int | None = None
) -> UNet:
    """Make the network, with weights drawn from torch's global generator.

    Attention heads have 8 channels, or the largest power of two below that divides W: diffusers rounds the
    number of heads down, to none at all where W = 4. The middle block always has attention, whatever
    `attention` says about the levels.

    Args:
        model: its settings.
        shape: channels, height and width of an image; each level but the last halves it.
        bf16: whether it computes under autocast to bfloat16.
        classes: labels 0 … classes − 1 and the null class, classes, have an embedding each that is added to
            that of the time; None for a network without labels.

    Returns:
        The network, in training mode.
    """
    channels, height, width = shape
    network = UNet(
        UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(model.W * multiplier for multiplier in model.multipliers),
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in model.attention),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(model.attention)),
            layers_per_block=model.layers,
            dropout=model.dropout,
            norm_num_groups=model.groups,
            attention_head_dim=math.gcd(model.W, _HEAD_CHANNELS),
            num_class_embeds=None if classes is None else classes + 1,
        )
    )
    network.bf16 = bf16
    return network
