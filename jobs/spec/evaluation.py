"""When and how a run is measured, whatever it trains: settings with type, range, default and meaning.

`jobs.spec.run_spec` puts them together with the kinds of data, model, objective and optimizer into a run and
gives it its id. The names are one flat vocabulary over all groups: the sweep file's fields, the axes, the
filters and the store's columns. Torch-free.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from tausweep.jobs.spec.extractor import substitution
from tausweep.jobs.spec.fields import Count, Group, Real, Switch, Whole


class Evaluation(Group):
    """When the run is measured and on how much."""

    eval_first: Count = Field(30, description="first tau that is evaluated")
    eval_per_decade: Annotated[Count, Field(le=1000)] = Field(
        8, description="evaluations a factor ten in tau, log-spaced"
    )
    loss_t: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(
        (50, 150, 500), description="diffusion timesteps at which losses are measured"
    )
    loss_pairs: Count = Field(256, description="(image, noise) pairs a loss, the same at each tau")
    samples: Annotated[Whole, Field(ge=2)] = Field(200, description="generated samples an evaluation")
    ddim_steps: Count = Field(25, description="steps of the DDIM sampler")
    clip_x0: bool = Field(
        True, description="whether the sampler clips its x_0 predictions to the range of pixels"
    )
    frechet_dims: Annotated[Whole, Field(ge=1)] = Field(
        16, description="principal components of the pixel-PCA feature space of frechet_pca"
    )
    gallery: Annotated[Whole, Field(ge=0)] = Field(8, description="samples kept as images, an evaluation")
    guidance: Annotated[Real, Field(ge=0)] | None = Field(
        None, description="weight w of classifier-free guidance, 1 for none; only if conditional"
    )
    by_class: Switch = Field(
        None, description="f_mem is measured by class too; a conditional run's always is"
    )
    extractor: str | None = Field(
        None,
        description="network in whose features a second Fréchet distance is taken: inception (FID), random_conv, or "
        "package.module:Class; none: frechet_pca only",
    )
    extractor_weights: str | None = Field(None, description="sha256 of the store's Inception weights")
    fid_references: Annotated[Whole, Field(ge=2)] | None = Field(
        None,
        description="disjoint sets of held-out images that the extractor compares with; none: one of all",
    )

    @property
    def remark(self) -> str | None:
        """What to tell the user if another extractor than the one asked for is used; None if not."""
        return None if self.extractor is None else substitution(self.extractor, self.extractor_weights)

    def taus(self, steps: int) -> tuple[int, ...]:
        """Steps at which a run of so many steps is evaluated: log-spaced from eval_first, and the last one."""
        decades = math.log10(steps / self.eval_first)
        count = int(decades * self.eval_per_decade + 1e-9) + 1
        grid = {round(self.eval_first * 10 ** (i / self.eval_per_decade)) for i in range(count)}
        return tuple(sorted({tau for tau in grid if tau <= steps} | {steps}))
