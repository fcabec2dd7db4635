"""Kinds of objectives and their settings; what is made of them is in `jobs.diffusion.objective`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tausweep.jobs.spec.fields import Group, Positive, Real, Whole
from tausweep.storage.errors import SettingError

if TYPE_CHECKING:
    from tausweep.jobs.spec.run_spec import RunSpec


FLOW_TIME = 1000
"""What a network that predicts a velocity sees at t = 1, and what times are given in: the range of DDPM's timesteps."""


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


class ScoreAtT(Group):
    """Score matching at one diffusion time of the Ornstein-Uhlenbeck process (see `jobs.random_features.closed_form`)."""

    objective: Literal["score_at_t"]
    diffusion_time: Positive = Field(description="diffusion time t: x_t = e^-t x_0 + sqrt(1 - e^-2t) z")

    def require_fit(self, spec: RunSpec) -> None:
        """Its expectation over all noise is known of random features only."""
        if spec.model.model != "random_features":
            raise SettingError(
                "objective", self.objective, f"needs model = random_features; this run has {spec.model.model}"
            )


class _Flow(Group):
    """Objectives whose network predicts a velocity; times are 1000·t with t from 0 (data) to 1 (noise)."""

    def require_fit(self, spec: RunSpec) -> None:
        """Losses are measured between data and noise."""
        for t in spec.evaluation.loss_t:
            if not 0 < t < FLOW_TIME:
                raise SettingError("loss_t", t, f"times are 1000·t of t in 0…1 here: 1 to {FLOW_TIME - 1}")


class FlowMatching(_Flow):
    """Flow matching on straight lines (Lipman et al. 2022, arXiv:2210.02747; Liu et al. 2022, arXiv:2209.03003)."""

    objective: Literal["flow_matching"]
    sampler: Literal["euler", "heun"] = Field("euler", description="solver of the flow's ODE")


class Interpolant(_Flow):
    """A stochastic interpolant (Albergo et al. 2022, 2023; arXiv:2209.15571, arXiv:2303.08797)."""

    objective: Literal["interpolant"]
    path: Literal["trigonometric", "latent", "linear"] = Field(
        "trigonometric",
        description="how data and noise are mixed (see `tausweep.jobs.diffusion.interpolants`)",
    )
    sampler: Literal["sde", "euler", "heun"] = Field(
        "sde", description="the reverse SDE, or a solver of the flow's ODE"
    )
