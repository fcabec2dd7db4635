"""Rules between the settings of different groups: one function per rule, and a table of them.

`jobs.spec.run_spec` checks every run with it. The groups themselves do not know each other. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from tausweep.jobs.spec.data import GaussianMixture, Images, Labelled, Vectors
from tausweep.jobs.spec.evaluation import Evaluation
from tausweep.jobs.spec.extractor import require_extractor
from tausweep.jobs.spec.model import LESS_BLIND, MLP, ModelKind, RandomFeatures, UNet, features
from tausweep.jobs.spec.objective import DDPM, FLOW_TIME, FlowKind, ObjectiveKind, ScoreAtT
from tausweep.jobs.spec.optimizer import GradientDescent, OptimizerKind
from tausweep.jobs.spec.training import Training
from tausweep.storage.errors import SettingError

_KNOWN_CLASSES = "known number of classes; digits and gaussian_mixture have one, imported needs label_classes"


class Groups(Protocol):
    """All settings of a run, by group; a `RunSpec` is one."""

    @property
    def data(self) -> Images | Vectors:
        """The training data."""

    @property
    def model(self) -> ModelKind:
        """The network."""

    @property
    def objective(self) -> ObjectiveKind:
        """The objective."""

    @property
    def optimizer(self) -> OptimizerKind:
        """The optimiser."""

    @property
    def training(self) -> Training:
        """Budget, batches and arithmetic."""

    @property
    def evaluation(self) -> Evaluation:
        """The evaluations."""


def require_consistent(run: Groups) -> None:
    """Check a run's settings against each other, by every rule of `RULES` in their order.

    Raises:
        SettingError: the settings conflict; the message names one, its value and what is allowed.
    """
    for rule in RULES:
        rule(run)


# --- data ---------------------------------------------------------------------------------------------------


def mixture_has_enough_samples(run: Groups) -> None:
    """The samples' covariance, which `frechet_population` needs, must have full rank."""
    data, samples = run.data, run.evaluation.samples
    if isinstance(data, GaussianMixture) and samples <= data.d:
        raise SettingError("samples", samples, f"must be above d = {data.d}, or their covariance is singular")


def head_class_has_a_tail(run: Groups) -> None:
    """A head class needs a long tail."""
    data = run.data
    if isinstance(data, Labelled) and data.head_class is not None and data.imbalance is None:
        raise SettingError("head_class", data.head_class, "only with imbalance; give both")


# --- model --------------------------------------------------------------------------------------------------


def mlp_has_no_channels(run: Groups) -> None:
    """An MLP has no channel layout."""
    if isinstance(run.model, MLP) and run.training.channels_last:
        raise SettingError("channels_last", True, "only with model = unet: model = mlp has no channels")


def unet_fits_the_images(run: Groups) -> None:
    """A U-Net halves images at each level except the last, and must see the class in conditional runs."""
    model, data = run.model, run.data
    if not isinstance(model, UNet):
        return
    if len(data.shape) != 3:
        raise SettingError("model", model.model, f"needs images; data = {data.data} gives vectors")
    if model.norm_groups is not None and model.W % model.norm_groups:
        raise SettingError("norm_groups", model.norm_groups, f"a divisor of W = {model.W} is needed")
    if run.training.conditional and model.blind:
        raise SettingError(
            "conditional",
            True,
            f"the network does not see the class: each norm has one channel per group, {LESS_BLIND}",
        )
    height = data.shape[1]
    halvings = len(model.multipliers) - 1
    if height % 2**halvings:
        raise SettingError(
            "multipliers",
            list(model.multipliers),
            f"{halvings + 1} levels halve the image {halvings} times, but {height} pixels do not divide by "
            f"{2**halvings}; give fewer levels",
        )


def random_features_are_exact(run: Groups) -> None:
    """Training of random features is exact: one diffusion time, a known distribution, full batches."""
    model, training = run.model, run.training
    if not isinstance(model, RandomFeatures):
        return
    kinds = {
        "objective": (run.objective.objective, ("score_at_t",)),
        "data": (run.data.data, ("gaussian", "student_t")),
        "optimizer": (run.optimizer.optimizer, ("gd", "adam")),
        "batch": (training.batch, ("n",)),
    }
    for name, (value, allowed) in kinds.items():
        if value not in allowed:
            raise SettingError(name, value, f"model = random_features needs {name} = {' or '.join(allowed)}")
    unused = {"warmup": training.warmup, "clip": training.clip, "precision": training.precision}
    unused |= {"channels_last": training.channels_last, "compile": training.compile}
    for name, setting in unused.items():
        if setting:
            raise SettingError(name, setting, "model = random_features does not use it; leave it out")
    features(model.psi_p, run.data.shape[0])


# --- objective and optimiser --------------------------------------------------------------------------------


def ddpm_has_the_timesteps(run: Groups) -> None:
    """Losses are measured at existing timesteps, and the sampler visits each at most once."""
    objective, evaluation = run.objective, run.evaluation
    if not isinstance(objective, DDPM):
        return
    for t in evaluation.loss_t:
        if t >= objective.timesteps:
            raise SettingError(
                "loss_t", t, f"timesteps run from 0 to {objective.timesteps - 1} (timesteps − 1)"
            )
    if evaluation.ddim_steps > objective.timesteps:
        raise SettingError("ddim_steps", evaluation.ddim_steps, f"at most timesteps = {objective.timesteps}")


def ancestral_sampling_is_without_choices(run: Groups) -> None:
    """Ancestral sampling visits every timestep, and its noise is the posterior's."""
    objective, steps = run.objective, run.evaluation.ddim_steps
    if not isinstance(objective, DDPM) or objective.sampler != "ancestral":
        return
    if objective.eta is not None:
        raise SettingError(
            "eta", objective.eta, "only with sampler = ddim; sampler = ancestral does not use it"
        )
    if steps != objective.timesteps:
        raise SettingError(
            "ddim_steps",
            steps,
            f"sampler = ancestral visits all timesteps = {objective.timesteps}; leave ddim_steps out",
        )


def score_at_t_has_random_features(run: Groups) -> None:
    """The expectation over all noise is known only for random features."""
    if isinstance(run.objective, ScoreAtT) and not isinstance(run.model, RandomFeatures):
        raise SettingError(
            "objective",
            run.objective.objective,
            f"needs model = random_features; this run has {run.model.model}",
        )


def flow_losses_lie_between_data_and_noise(run: Groups) -> None:
    """Losses of a flow are measured between data and noise."""
    if not isinstance(run.objective, FlowKind):
        return
    for t in run.evaluation.loss_t:
        if not 0 < t < FLOW_TIME:
            raise SettingError("loss_t", t, f"times are 1000·t for t in 0…1 here: 1 to {FLOW_TIME - 1}")


def gradient_descent_takes_all_samples(run: Groups) -> None:
    """Gradient descent is full-batch."""
    if isinstance(run.optimizer, GradientDescent) and run.training.batch != "n":
        raise SettingError(
            "batch",
            run.training.batch,
            "optimizer = gd is full-batch gradient descent and needs batch = n; for smaller batches use "
            "optimizer = sgd with momentum = 0",
        )


# --- training and evaluation --------------------------------------------------------------------------------


def labels_need_classes(run: Groups) -> None:
    """Labels need classes, and dropping them needs labels."""
    training = run.training
    if training.conditional and run.data.classes is None:
        raise SettingError("conditional", True, f"data = {run.data.data} has no {_KNOWN_CLASSES}")
    if training.label_dropout is not None and not training.conditional:
        raise SettingError("label_dropout", training.label_dropout, "only with conditional = true")


def evaluations_lie_within_the_budget(run: Groups) -> None:
    """Evaluations lie within the budget, each loss is measured once, and only existing samples are kept."""
    evaluation = run.evaluation
    if not evaluation.loss_t or len(set(evaluation.loss_t)) < len(evaluation.loss_t):
        raise SettingError("loss_t", list(evaluation.loss_t), "give at least one timestep, each once")
    if evaluation.eval_first > run.training.steps:
        raise SettingError("eval_first", evaluation.eval_first, f"at most steps = {run.training.steps}")
    if evaluation.gallery > evaluation.samples:
        raise SettingError("gallery", evaluation.gallery, f"at most samples = {evaluation.samples}")


def classes_are_sampled(run: Groups) -> None:
    """Measurements per class need classes and samples of each; guidance needs a learned null class."""
    evaluation, training, classes = run.evaluation, run.training, run.data.classes
    if evaluation.by_class and classes is None:
        raise SettingError("by_class", True, f"data = {run.data.data} has no {_KNOWN_CLASSES}")
    if evaluation.guidance is not None and not training.conditional:
        raise SettingError("guidance", evaluation.guidance, "only with conditional = true")
    if evaluation.guidance not in (None, 1) and not training.label_dropout:
        raise SettingError(
            "guidance",
            evaluation.guidance,
            "only 1 (none) with label_dropout = 0: without dropped labels the network never learns the null class",
        )
    if training.conditional and classes is not None and evaluation.samples < classes:
        raise SettingError("samples", evaluation.samples, f"at least one per class, {classes}")


def extractor_has_images(run: Groups) -> None:
    """An extractor needs images, at least two of them for a covariance."""
    evaluation, data = run.evaluation, run.data
    if evaluation.extractor is None:
        if evaluation.fid_references is not None:
            raise SettingError(
                "fid_references", evaluation.fid_references, "only with an extractor; give one"
            )
        return
    require_extractor(evaluation.extractor)
    if not isinstance(data, Images):
        raise SettingError("extractor", evaluation.extractor, f"needs images; data = {data.data} has none")
    if data.test_images < 2 * (evaluation.fid_references or 1):
        raise SettingError(
            "fid_references",
            evaluation.fid_references,
            f"at most half of test_images = {data.test_images}: a covariance needs two images",
        )


def pixel_covariances_have_full_rank(run: Groups) -> None:
    """`frechet_pca` compares covariances of full rank."""
    evaluation, data = run.evaluation, run.data
    if not isinstance(data, Images):
        return
    pixels, test_images = math.prod(data.shape), data.test_images
    if evaluation.frechet_dims >= min(pixels, test_images, evaluation.samples):
        raise SettingError(
            "frechet_dims",
            evaluation.frechet_dims,
            f"must be below the pixels ({pixels}), test_images ({test_images}) "
            f"and samples ({evaluation.samples}), or the covariances are singular",
        )


RULES: list[Callable[[Groups], None]] = [
    mixture_has_enough_samples,
    head_class_has_a_tail,
    mlp_has_no_channels,
    unet_fits_the_images,
    random_features_are_exact,
    ddpm_has_the_timesteps,
    ancestral_sampling_is_without_choices,
    score_at_t_has_random_features,
    flow_losses_lie_between_data_and_noise,
    gradient_descent_takes_all_samples,
    labels_need_classes,
    evaluations_lie_within_the_budget,
    classes_are_sampled,
    extractor_has_images,
    pixel_covariances_have_full_rank,
]
"""Of several rules that are broken, the first is told. A rule is added by its line here."""
