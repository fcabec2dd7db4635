"""Kinds of objectives and their settings; `jobs.diffusion.objective` builds them.

Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from tausweep.jobs.spec.fields import Kind, Positive, Real, Whole


def _deterministic(eta: float | None) -> float | None:
    return eta or None  # 0 and not given mean the same run


def _unnamed_ddim(sampler: str | None) -> str | None:
    return None if sampler == "ddim" else sampler  # the default, given or not, means the same run


FLOW_TIME = 1000
"""What a network that predicts a velocity sees at t = 1, and what times are given in: the range of DDPM's timesteps."""


class ObjectiveKind(Kind):
    """A kind of objective, registered in `jobs.spec.kinds`."""

    group: ClassVar[str] = "objective"

    objective: str


class DDPM(ObjectiveKind):
    """Denoising diffusion with a linear beta schedule (Ho et al. 2020, arXiv:2006.11239)."""

    builder: ClassVar[str] = "tausweep.jobs.diffusion.objective:Denoising"

    objective: Literal["ddpm"] = "ddpm"
    timesteps: Annotated[Whole, Field(ge=2)] = Field(1000, description="diffusion timesteps T")
    beta_start: Annotated[Real, Field(gt=0, lt=1)] = Field(1e-4, description="beta at t = 0")
    beta_end: Annotated[Real, Field(gt=0, lt=1)] = Field(0.02, description="beta at t = T − 1")
    prediction: Literal["epsilon", "v"] = Field("epsilon", description="what the network predicts")
    sampler: Annotated[Literal["ddim", "ancestral"] | None, AfterValidator(_unnamed_ddim)] = Field(
        None, description="ddim, the default, or ancestral: over all timesteps, with the posterior's variance"
    )
    eta: Annotated[Annotated[Real, Field(ge=0, le=1)] | None, AfterValidator(_deterministic)] = Field(
        None,
        description="fraction of the posterior's noise that DDIM adds at each step, 0 (none, the default) to 1",
    )

    @property
    def noise_share(self) -> float:
        """η of the sampler: ancestral sampling is DDIM at η = 1 over all timesteps."""
        return 1.0 if self.sampler == "ancestral" else self.eta or 0.0


class ScoreAtT(ObjectiveKind):
    """Score matching at one time of the Ornstein-Uhlenbeck process (see `jobs.random_features.closed_form`).

    It has no builder, since only random features use it, and they know its loss in closed form.
    """

    objective: Literal["score_at_t"]
    diffusion_time: Positive = Field(description="diffusion time t: x_t = e^-t x_0 + sqrt(1 - e^-2t) z")


class FlowKind(ObjectiveKind):
    """Objectives whose network predicts a velocity; times are 1000·t with t from 0 (data) to 1 (noise)."""


class FlowMatching(FlowKind):
    """Flow matching on straight lines (Lipman et al. 2022, arXiv:2210.02747; Liu et al.

    2022, arXiv:2209.03003).
    """

    builder: ClassVar[str] = "tausweep.jobs.diffusion.objective:flow_matching"

    objective: Literal["flow_matching"]
    sampler: Literal["euler", "heun"] = Field("euler", description="solver of the flow's ODE")


class Interpolant(FlowKind):
    """A stochastic interpolant (Albergo et al. 2022, 2023; arXiv:2209.15571, arXiv:2303.08797)."""

    builder: ClassVar[str] = "tausweep.jobs.diffusion.objective:interpolant"

    objective: Literal["interpolant"]
    path: Literal["trigonometric", "latent", "linear"] = Field(
        "trigonometric",
        description="how data and noise are mixed (see `jobs.diffusion.interpolants`)",
    )
    sampler: Literal["sde", "euler", "heun"] = Field(
        "sde", description="the reverse SDE, or a solver of the flow's ODE"
    )
