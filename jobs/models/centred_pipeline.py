"""Samples images as the run that trained this network did, with plain diffusers.

`DDIMPipeline` supports neither the mean that the run subtracted from its pixels nor clipping to the range of
pixels about this mean. Both are in the scheduler's configuration, and this pipeline uses them:

    DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline=FOLDER, trust_remote_code=True)

This file needs torch and diffusers only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from diffusers import DDIMPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class CentredDDIMPipeline(DDIMPipeline):
    """DDIM (arXiv:2010.02502, eq. 12 and 16) on pixels that are centred by the mean of a training set.

    η is the run's own; at η = 1 over all timesteps this is ancestral sampling (arXiv:2006.11239, algorithm
    2). As in the run, the starting point of each image seeds the noise that is added on the way.

    The schedule is computed in float64, and each step goes to the next visited timestep; diffusers' own goes
    T // steps further, which differs unless the steps divide T.
    """

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        noise: Tensor | None = None,
    ) -> ImagePipelineOutput | tuple[object]:
        """Generate images.

        Args:
            batch_size: how many, without noise.
            generator: draws the noise.
            num_inference_steps: steps; as many as the run's own sampler by default.
            output_type: `pil`, `np` (N, H, W, C) or `pt` (N, C, H, W) in 0…1; `latent`: centred pixels, not
                clipped.
            return_dict: whether to return an ImagePipelineOutput or a tuple of one.
            noise: standard normal starting points, (N, C, H, W).
        """
        config = self.scheduler.config
        if noise is None:
            size = self.unet.config.sample_size
            height, width = (size, size) if isinstance(size, int) else size
            shape = (batch_size, self.unet.config.in_channels, height, width)
            noise = randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)
        x = self._sample(noise, num_inference_steps or config["_ddim_steps"])
        if output_type != "latent":
            mean = torch.tensor(config["_pixel_mean"], dtype=x.dtype, device=x.device)[:, None, None]
            x = (x / config["_pixel_scale"] + mean).clamp(0, 1)
        images: object = x
        if output_type in ("pil", "np"):
            array = x.cpu().permute(0, 2, 3, 1).float().numpy()
            images = self.numpy_to_pil(array) if output_type == "pil" else array
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _sample(self, x: Tensor, steps: int) -> Tensor:
        config = self.scheduler.config
        betas = torch.linspace(
            config.beta_start, config.beta_end, config.num_train_timesteps, dtype=torch.float64
        )
        alpha_bars = torch.cumprod(1 - betas, dim=0)
        self.scheduler.set_timesteps(steps)
        visited = self.scheduler.timesteps.tolist()
        levels = [*alpha_bars[visited].tolist(), 1.0]
        mean = torch.tensor(config["_pixel_mean"], dtype=torch.float64)[:, None, None]
        low, high = (
            (config["_pixel_scale"] * (bound - mean)).to(device=x.device, dtype=x.dtype) for bound in (0, 1)
        )
        eta = config["_eta"]
        draws = _increments(x, steps - 1)
        for t, a, after in zip(self.progress_bar(visited), levels, levels[1:], strict=False):
            predicted = self.unet(x, torch.full((len(x),), t, device=x.device)).sample
            if config.prediction_type == "epsilon":
                x0, epsilon = (x - (1 - a) ** 0.5 * predicted) / a**0.5, predicted
            else:
                x0 = a**0.5 * x - (1 - a) ** 0.5 * predicted
                epsilon = a**0.5 * predicted + (1 - a) ** 0.5 * x
            if config["_clip_x0"]:
                x0 = x0.clamp(low, high)
                epsilon = (x - a**0.5 * x0) / (1 - a) ** 0.5
            spread = eta * ((1 - after) / (1 - a) * (1 - a / after)) ** 0.5
            x = after**0.5 * x0 + max(1 - after - spread**2, 0.0) ** 0.5 * epsilon
            if spread:
                x = x + spread * next(draws)
        return x


def _increments(noise: Tensor, count: int) -> Iterator[Tensor]:
    generators = []
    for start in noise.cpu():
        digest = hashlib.sha256(start.contiguous().numpy().tobytes()).digest()
        generators.append(torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1))
    for begin in range(0, count, 16):  # as many at a time as in the run, since values depend on it
        shape = (min(16, count - begin), *noise.shape[1:])
        drawn = [torch.randn(shape, generator=generator, dtype=noise.dtype) for generator in generators]
        yield from torch.stack(drawn, dim=1).to(noise.device)
