"""Measures a model at one tau: losses, samples, memorisation and quality.

Noise, starting points and images are drawn once and are the same at every tau, so curves show the training
and not the random draw. Ranks share the images, samples and neighbours; afterwards each has all results.
Called by the training loop; publishes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tausweep.jobs.arrays import Labels
from tausweep.jobs.data.images import to_unit
from tausweep.jobs.data.split import Split
from tausweep.jobs.diffusion.ddpm import Clip, Model
from tausweep.jobs.diffusion.guidance import Guided, classes_of_samples
from tausweep.jobs.diffusion.objective import Objective
from tausweep.jobs.evaluation import metrics
from tausweep.jobs.evaluation.measurement import Generated, Measurement, Row
from tausweep.jobs.evaluation.nearest_neighbours import Neighbours, nearest_two
from tausweep.jobs.evaluation.population import population_of
from tausweep.jobs.quality.build import build_qualities
from tausweep.jobs.quality.pixel_pca import Quality
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.seeds import derive
from tausweep.jobs.spec.metrics import EXCESS_LOSS, SCORE_ERROR, TEST_LOSS, TRAIN_LOSS
from tausweep.jobs.spec.run_spec import RunSpec

if TYPE_CHECKING:
    from tausweep.jobs.quality.feature_distance import FeatureInputs

_CHUNK = 256  # samples generated at once; bounds memory, and does not change the result thanks to their seeds


@dataclass(frozen=True)
class _LossProbe:
    """Fixed (image, noise) pairs at fixed timesteps: pair i is image i mod N with noise i."""

    name: str
    images: Tensor  # (pairs, C, H, W)
    noise: Tensor  # (pairs, C, H, W)
    labels: Tensor | None  # (pairs,), of a conditional run


class Evaluator:
    """Measures a model, always on the same noise and the same starting points."""

    def __init__(
        self,
        spec: RunSpec,
        split: Split,
        objective: Objective,
        device: torch.device,
        ranks: Ranks,
        features: FeatureInputs | None = None,
    ) -> None:
        self.spec = spec
        self.ranks = ranks
        self.split = split
        self.objective = objective
        self.train = torch.from_numpy(split.train).to(device)  # (n, C, H, W) or (n, d)
        self.probes = [
            self._probe(TRAIN_LOSS, split.train, split.train_labels, device),
            self._probe(TEST_LOSS, split.test, split.test_labels, device),
        ]
        self.starts = torch.stack(
            [self._noise(derive(spec.seed, "sample", i)) for i in range(spec.evaluation.samples)]
        ).to(device)  # (samples, C, H, W) or (samples, d)
        self.classes = self._classes_of_samples(device)
        self.clip = self._pixel_range(split.mean, device)
        self.qualities: list[Quality] = build_qualities(spec, split, features, device, ranks)
        self.population = population_of(spec, objective)

    def _noise(self, seed: int, count: int | None = None) -> Tensor:
        shape = self.spec.data.shape if count is None else (count, *self.spec.data.shape)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    def _classes_of_samples(self, device: torch.device) -> Tensor | None:
        """Class that each sample is generated for, (samples,) int64.

        None if the network takes no labels.
        """
        labels = self.split.train_labels
        if self.spec.classes is None or labels is None:
            return None
        present = torch.from_numpy(np.unique(labels))
        return classes_of_samples(self.spec.evaluation.samples, present).to(device)

    def _pixel_range(self, mean: np.ndarray | None, device: torch.device) -> Clip | None:
        """Black and white as the model sees them, (C, 1, 1) each; None if samples are not clipped."""
        if mean is None or not self.spec.evaluation.clip_x0:
            return None
        middle = torch.from_numpy(mean).float()[:, None, None].to(device)
        scale = self.split.pixel_scale
        return -middle * scale, (1 - middle) * scale

    def _probe(
        self,
        name: Literal["train_loss", "test_loss"],
        images: np.ndarray,
        labels: Labels | None,
        device: torch.device,
    ) -> _LossProbe:
        pairs = self.spec.evaluation.loss_pairs
        which = np.arange(pairs) % len(images)
        noise = self._noise(derive(self.spec.seed, name), pairs)
        shown = None if labels is None or self.spec.classes is None else torch.from_numpy(labels[which])
        return _LossProbe(
            name,
            torch.from_numpy(images[which]).to(device),
            noise.to(device),
            None if shown is None else shown.to(device),
        )

    @torch.no_grad()
    def measure(self, model: nn.Module) -> Measurement:
        """Evaluate a model; afterwards it is in training mode again.

        Raises:
            RunError: the samples are not finite.
        """
        model.eval()
        rows: list[Row] = [
            (probe.name, t, self._loss(model, probe, t))
            for probe in self.probes
            for t in self.spec.evaluation.loss_t
        ]
        rows += self._against_population(model, rows)
        samples = self._samples(model)
        generated = Generated(
            spec=self.spec,
            split=self.split,
            network=model,
            samples=samples.cpu().numpy(),
            classes=None if self.classes is None else self.classes.cpu().numpy(),
            neighbours=self._neighbours(samples),
        )
        rows += [row for metric in metrics.METRICS for row in metric(generated)]
        model.train()
        images = generated.samples
        rows += [(name, None, value) for quality in self.qualities for name, value in quality(images).items()]
        return Measurement(metrics=rows, neighbours=generated.neighbours, gallery=self._gallery(images))

    def _gallery(self, samples: np.ndarray) -> np.ndarray | None:
        if self.split.mean is None:
            return None
        shown = samples[: self.spec.evaluation.gallery]
        return to_unit(shown, self.split.mean, self.split.pixel_scale)

    def _loss(self, model: nn.Module, probe: _LossProbe, t: float) -> float:
        def loss(rows: Tensor) -> Tensor:
            network = model if probe.labels is None else partial(model, labels=probe.labels[rows])
            at = torch.full((len(rows),), t, device=rows.device)
            return self.objective.loss(network, probe.images[rows], probe.noise[rows], at)

        return self._mean(probe, loss)

    def _against_population(self, model: nn.Module, losses: list[Row]) -> list[Row]:
        """`score_error` and `excess_loss` at each timestep.

        Empty where the population is not known exactly.
        """
        population = self.population
        if population is None:
            return []
        probe = next(probe for probe in self.probes if probe.name == TEST_LOSS)

        def error(t: float, rows: Tensor) -> Tensor:
            return population.score_errors(model, probe.images[rows], probe.noise[rows], int(t))

        errors = {t: self._mean(probe, partial(error, t)) for t in self.spec.evaluation.loss_t}
        excess = [
            (EXCESS_LOSS, t, loss - population.optimal_loss(int(t)))
            for name, t, loss in losses
            if name == TEST_LOSS and t is not None
        ]
        return [*((SCORE_ERROR, t, error) for t, error in errors.items()), *excess]

    def _mean(self, probe: _LossProbe, loss: Callable[[Tensor], Tensor]) -> float:
        """Mean over the pairs of a loss, rows (N,) → (N,), computed in the ranks' shares."""
        mine = self.ranks.share(len(probe.images))
        losses = [
            loss(rows) for rows in _chunks(torch.arange(len(probe.images), device=probe.images.device)[mine])
        ]
        own = torch.cat([probe.images.new_empty(0), *losses])
        return float(self.ranks.gather(own, len(probe.images)).double().mean())

    def _samples(self, model: nn.Module) -> Tensor:
        mine = self.ranks.share(len(self.starts))
        chunks = [
            self.objective.sample(
                self._guided(model, rows), self.starts[rows], self.spec.evaluation.ddim_steps, self.clip
            )
            for rows in _chunks(torch.arange(len(self.starts), device=self.starts.device)[mine])
        ]
        own = torch.cat([self.starts[:0], *chunks])
        return self.ranks.gather(own, len(self.starts))  # (samples, C, H, W)

    def _guided(self, model: nn.Module, rows: Tensor) -> Model:
        """The model as it generates these samples."""
        weight, null = self.spec.evaluation.guidance, self.spec.classes
        if self.classes is None or weight is None or null is None:
            return model
        return Guided(model, self.classes[rows], null, weight)

    def _neighbours(self, samples: Tensor) -> Neighbours:
        own = nearest_two(samples[self.ranks.share(len(samples))], self.train)
        return Neighbours(
            **{
                name: self.ranks.gather(torch.from_numpy(column), len(samples)).numpy()
                for name, column in vars(own).items()
            }
        )


def _chunks(rows: Tensor) -> list[Tensor]:
    """At most `_CHUNK` rows each; none of no rows."""
    return list(torch.split(rows, _CHUNK)) if len(rows) else []
