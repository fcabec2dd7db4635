"""When and how a run is measured: settings with type, range, default and meaning.

`jobs.spec.run_spec` combines them with the kinds of data, model, objective and optimizer into a run with an
id. The names form one flat vocabulary over all groups: the fields of sweep files, axes, filters and columns
of the store. Torch-free.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from tausweep.jobs.spec.extractor import substitution
from tausweep.jobs.spec.fields import Count, Group, Real, Switch, Whole


class Evaluation(Group):
    """When the run is measured and on how much."""

    eval_first: Count = Field(30, description="first evaluated tau")
    eval_per_decade: Annotated[Count, Field(le=1000)] = Field(
        8, description="evaluations per factor of ten in tau, log-spaced"
    )
    loss_t: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(
        (50, 150, 500), description="diffusion timesteps at which losses are measured"
    )
    loss_pairs: Count = Field(256, description="(image, noise) pairs per loss, the same at each tau")
    samples: Annotated[Whole, Field(ge=2)] = Field(200, description="generated samples per evaluation")
    ddim_steps: Count = Field(25, description="steps of the DDIM sampler")
    clip_x0: bool = Field(
        True, description="whether the sampler clips its x_0 predictions to the range of pixels"
    )
    frechet_dims: Annotated[Whole, Field(ge=1)] = Field(
        16, description="principal components of the pixel-PCA feature space of frechet_pca"
    )
    gallery: Annotated[Whole, Field(ge=0)] = Field(8, description="samples kept as images per evaluation")
    guidance: Annotated[Real, Field(ge=0)] | None = Field(
        None, description="weight w of classifier-free guidance, 1 for none; only if conditional"
    )
    by_class: Switch = Field(
        None, description="f_mem is also measured per class; always the case for conditional runs"
    )
    extractor: str | None = Field(
        None,
        description="network whose features give a second Fréchet distance: inception (FID), random_conv, or "
        "package.module:Class; none: frechet_pca only",
    )
    extractor_weights: str | None = Field(None, description="sha256 of the store's Inception weights")
    fid_references: Annotated[Whole, Field(ge=2)] | None = Field(
        None,
        description="number of disjoint sets of held-out images to compare with; none: one set of all",
    )

    @property
    def remark(self) -> str | None:
        """A message if a different extractor than the requested one is used, else None."""
        return None if self.extractor is None else substitution(self.extractor, self.extractor_weights)

    def taus(self, steps: int) -> tuple[int, ...]:
        """Evaluated steps of a run with this many steps: log-spaced from eval_first, and the last one."""
        decades = math.log10(steps / self.eval_first)
        count = int(decades * self.eval_per_decade + 1e-9) + 1
        grid = {round(self.eval_first * 10 ** (i / self.eval_per_decade)) for i in range(count)}
        return tuple(sorted({tau for tau in grid if tau <= steps} | {steps}))
