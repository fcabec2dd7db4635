"""How a run is trained and measured, whatever it trains: settings with type, range, default and meaning.

`jobs.spec.run_spec` puts them together with the kinds of data, model, objective and optimizer into a run and gives it its id.
The names are one flat vocabulary over all groups: the sweep file's fields, the axes, the filters and the store's
columns. Torch-free.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tausweep.jobs.spec.data import Images
from tausweep.jobs.spec.extractor import require_extractor, substitution
from tausweep.jobs.spec.fields import Count, Group, Real, Switch, Whole
from tausweep.storage.errors import SettingError

if TYPE_CHECKING:
    from tausweep.jobs.spec.run_spec import RunSpec


_KNOWN = "classes that are known beforehand; digits and gaussian_mixture have, imported with label_classes"


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

    def require_fit(self, spec: RunSpec) -> None:
        """Evaluations lie within the budget, each loss is asked for once, and covariances can have full rank."""
        if not self.loss_t or len(set(self.loss_t)) < len(self.loss_t):
            raise SettingError("loss_t", list(self.loss_t), "give at least one timestep, each once")
        if self.eval_first > spec.training.steps:
            raise SettingError("eval_first", self.eval_first, f"at most steps = {spec.training.steps}")
        if self.gallery > self.samples:
            raise SettingError("gallery", self.gallery, f"at most samples = {self.samples}")
        self._require_classes(spec)
        self._require_extractor(spec)
        if not isinstance(spec.data, Images):
            return
        pixels, test_images = math.prod(spec.data.shape), spec.data.test_images
        if self.frechet_dims >= min(pixels, test_images, self.samples):
            raise SettingError(
                "frechet_dims",
                self.frechet_dims,
                f"must be below the pixels ({pixels}), test_images ({test_images}) "
                f"and samples ({self.samples}), or the covariances are singular",
            )

    def _require_classes(self, spec: RunSpec) -> None:
        if self.by_class and spec.data.classes is None:
            raise SettingError("by_class", True, f"data = {spec.data.data} has no {_KNOWN}")
        if self.guidance is not None and not spec.training.conditional:
            raise SettingError("guidance", self.guidance, "only with conditional = true")
        if self.guidance not in (None, 1) and not spec.training.label_dropout:
            raise SettingError(
                "guidance",
                self.guidance,
                "only 1 (none) with label_dropout = 0: without dropped labels the network never learns the null class",
            )
        if spec.classes is not None and self.samples < spec.classes:
            raise SettingError("samples", self.samples, f"at least one of each class, {spec.classes}")

    def _require_extractor(self, spec: RunSpec) -> None:
        if self.extractor is None:
            if self.fid_references is not None:
                raise SettingError("fid_references", self.fid_references, "only with an extractor; give one")
            return
        require_extractor(self.extractor)
        if not isinstance(spec.data, Images):
            raise SettingError("extractor", self.extractor, f"takes images; data = {spec.data.data} has none")
        sets = self.fid_references or 1
        if spec.data.test_images < 2 * sets:
            raise SettingError(
                "fid_references",
                self.fid_references,
                f"at most half of test_images = {spec.data.test_images}: a covariance needs two images",
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
