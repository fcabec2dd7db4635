"""Kinds of objectives and their settings; what is made of them is in `jobs.objectives`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from jobs.fields import Group, Real, Whole
from storage.errors import SettingError

if TYPE_CHECKING:
    from jobs.spec import RunSpec


class DDPM(Group):
    """Denoising diffusion with a linear beta schedule (Ho et al. 2020, arXiv:2006.11239)."""

    objective: Literal["ddpm"] = "ddpm"
    timesteps: Annotated[Whole, Field(ge=2)] = Field(1000, description="diffusion timesteps T")
    beta_start: Annotated[Real, Field(gt=0, lt=1)] = Field(1e-4, description="beta at t = 0")
    beta_end: Annotated[Real, Field(gt=0, lt=1)] = Field(0.02, description="beta at t = T − 1")
    prediction: Literal["epsilon", "v"] = Field("epsilon", description="what the network predicts")

    def require_fit(self, spec: RunSpec) -> None:
        """Losses are measured at timesteps that there are, and the sampler visits each at most once."""
        for t in spec.evaluation.loss_t:
            if t >= self.timesteps:
                raise SettingError(
                    "loss_t", t, f"timesteps run from 0 to {self.timesteps - 1} (timesteps − 1)"
                )
        if spec.evaluation.ddim_steps > self.timesteps:
            raise SettingError(
                "ddim_steps", spec.evaluation.ddim_steps, f"at most timesteps = {self.timesteps}"
            )
