"""The frozen description of one run, and its identity.

A `RunSpec` holds everything that changes a run's result and nothing else: no path, no back-end, no sweep
name. Its settings have one flat vocabulary (`n`, `W`, `optimizer`, `lr`, …), shared by sweep files, filters,
the columns of the store and figures. Torch-free: plans and status need only specs.

Identity: `run_id` is the first 20 hex digits of the sha256 over the canonical JSON of the settings. Settings
that are None are left out, so an option that is added later with default None leaves all older ids unchanged.
"""

from __future__ import annotations

import hashlib
import json
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tausweep.jobs.spec.consistency import require_consistent
from tausweep.jobs.spec.data import UNPREPARED, Images, Vectors
from tausweep.jobs.spec.evaluation import Evaluation
from tausweep.jobs.spec.fields import Group, Whole
from tausweep.jobs.spec.kinds import GROUPS, kinds_of
from tausweep.jobs.spec.model import ModelKind
from tausweep.jobs.spec.objective import DDPM, ObjectiveKind
from tausweep.jobs.spec.optimizer import OptimizerKind
from tausweep.jobs.spec.training import Training
from tausweep.storage.errors import IdentityError, SettingError, nearest
from tausweep.storage.layout import RUN_ID_LENGTH

SPEC_VERSION = 1
"""Enters the id; raised only when the same settings begin to mean another computation."""

_PLAIN: dict[str, type[Group]] = {"training": Training, "evaluation": Evaluation}


def _of_kind(group: str) -> BeforeValidator:
    """Parse the settings of a group as their kind."""

    def validate(settings: object) -> object:
        if not isinstance(settings, dict):
            return settings
        kinds = kinds_of(group)
        kind = kinds.get(str(settings.get(group)))
        if kind is None:
            raise ValueError(nearest(str(settings.get(group)), kinds))
        return kind.model_validate(settings)

    return BeforeValidator(validate)


class RunSpec(BaseModel):
    """One grid point: everything that changes its result.

    Settings in, id out; settings that are not given take their defaults:

    >>> run = RunSpec.from_settings(
    ...     {"data": "gaussian_mixture", "d": 8, "model": "mlp", "n": 16, "lr": 1e-3, "batch": "min(512, n)",
    ...      "steps": 100, "seed": 0}
    ... )
    >>> run.run_id
    '8f10ebecba19caa6c302'
    >>> run.model.W, run.batch_size, run.taus
    (128, 16, (30, 40, 53, 71, 95, 100))

    Settings in another order or spelling give the same run:

    >>> RunSpec.from_settings(run.settings() | {"lr": "0.001"}) == run
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: Literal["diffusion"] = "diffusion"
    data: Annotated[Images | Vectors, _of_kind("data")]
    model: Annotated[ModelKind, _of_kind("model")]
    objective: Annotated[ObjectiveKind, _of_kind("objective")]
    optimizer: Annotated[OptimizerKind, _of_kind("optimizer")]
    training: Training
    evaluation: Evaluation
    seed: Annotated[Whole, Field(ge=0, description="seed of every random stream of the run")]

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Build a spec from flat settings; settings that are not given take their defaults.

        Args:
            settings: name → value, with the kinds of data, model, objective and optimizer under these names.

        Raises:
            SettingError: a setting is unknown, missing or out of range; the message names it and what is
                allowed.
        """
        nested: dict[str, Any] = {}
        rest = {key: value for key, value in settings.items() if value is not None}
        for group in GROUPS:
            kinds = kinds_of(group)
            kind = rest.pop(group, next(iter(kinds)))
            if not isinstance(kind, str) or kind not in kinds:
                raise SettingError(group, kind, nearest(str(kind), kinds))
            fields = [f for f in kinds[kind].model_fields if f != group]
            if rest.get("fingerprint") == UNPREPARED and group == "data" and "fingerprint" not in fields:
                del rest["fingerprint"]  # data drawn from seeds need no preparation
            nested[group] = {group: kind, **{f: rest.pop(f) for f in fields if f in rest}}
        for group, model in _PLAIN.items():
            nested[group] = {f: rest.pop(f) for f in model.model_fields if f in rest}
        for name in ("experiment", "seed"):
            if name in rest:
                nested[name] = rest.pop(name)
        for name, value in rest.items():
            raise SettingError(name, value, _unknown(name, nested))
        _fill_unet_levels(nested)
        _fill_conditional(nested)
        _fill_ancestral(nested)
        try:
            return cls.model_validate(nested)
        except ValidationError as error:
            raise _setting_error(error, nested) from error

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_consistent(self)
        return self

    def settings(self) -> dict[str, Any]:
        """The flat settings, as JSON values; settings that are None are left out."""
        flat: dict[str, Any] = {"experiment": self.experiment}
        for group in (*GROUPS, *_PLAIN):
            flat.update(getattr(self, group).model_dump(mode="json", exclude_none=True))
        flat["seed"] = self.seed
        return flat

    @property
    def run_id(self) -> str:
        """Content id: the first 20 hex digits of sha256 over the canonical JSON of the settings.

        Raises:
            IdentityError: the training images have not been read yet, and they are part of the id.
        """
        if self.is_draft:
            raise IdentityError(
                f"fingerprint = {UNPREPARED}: a run has no id before its images are known; identify them first, "
                "or distinguish such specs by provisional_id"
            )
        return settings_id(self.settings())

    @property
    def is_draft(self) -> bool:
        """Whether the images that it trains on are not known yet; it has no id until they are."""
        return isinstance(self.data, Images) and self.data.fingerprint == UNPREPARED

    @property
    def provisional_id(self) -> str:
        """Distinguishes specs whose images have not been read yet; never the id of a run."""
        return settings_id(self.settings())

    @property
    def batch_size(self) -> int:
        """Images per optimiser update, from the batch policy and n."""
        return self.training.batch_size(self.data.n)

    @property
    def classes(self) -> int | None:
        """Number of classes that the network takes, without the null class; None if it takes no labels."""
        return self.data.classes if self.training.conditional else None

    @property
    def remarks(self) -> list[str]:
        """Messages for the user about what this run does unexpectedly."""
        groups = (getattr(self, group) for group in (*GROUPS, *_PLAIN))
        return [remark for group in groups if (remark := group.remark)]

    @property
    def taus(self) -> tuple[int, ...]:
        """Steps at which the run is evaluated, ascending; the last one is the budget."""
        return self.evaluation.taus(self.training.steps)


def stored_spec(run_id: str, settings: dict[str, Any]) -> RunSpec:
    """The spec of stored settings, checked against the run's id.

    Raises:
        IdentityError: the settings do not hash to the run id, or this version reads them as another run.
        SettingError: the settings are not valid.
    """
    actual = settings_id(settings)
    if actual != run_id:
        raise IdentityError(
            f"run {run_id}: the settings in its spec.json hash to {actual}; the file was changed"
        )
    spec = RunSpec.from_settings(settings)
    if spec.run_id != run_id:
        raise IdentityError(
            f"run {run_id}: this version of tausweep reads its settings as run {spec.run_id}; "
            "execute it with the version that created it"
        )
    return spec


def settings_id(settings: dict[str, Any]) -> str:
    """Id of flat settings that a RunSpec has already typed and completed (see `RunSpec.run_id`)."""
    text = json.dumps(
        {"spec_version": SPEC_VERSION, **settings}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_ID_LENGTH]


def field_models() -> dict[str, list[type[BaseModel]]]:
    """Every setting's name with the groups that have it (`lr` belongs to each optimizer)."""
    models: dict[str, list[type[BaseModel]]] = {"experiment": [RunSpec]}
    kinds = [kind for group in GROUPS for kind in kinds_of(group).values()]
    for model in (*kinds, *_PLAIN.values()):
        for name in model.model_fields:
            models.setdefault(name, []).append(model)
    models["seed"] = [RunSpec]
    return models


def kind_names() -> list[str]:
    """The settings that choose a kind: data, model, objective, optimizer."""
    return ["experiment", *GROUPS]


_FILLED_IN = ("fingerprint", "extractor_weights")  # from the images, and from the store


def setting_names() -> list[str]:
    """The settings a user may write."""
    return [name for name in field_models() if name not in _FILLED_IN]


def is_sequence(name: str) -> bool:
    """Whether a setting's own value is a list (`multipliers`), so that an axis over it is a list of lists."""
    models = field_models().get(name, [])
    return any("tuple" in str(model.model_fields[name].annotation) for model in models)


def _fill_unet_levels(nested: dict[str, Any]) -> None:
    # From 16 pixels on the paper's U-Net: three levels of two blocks, attention on all but the first level, p
    # = 4.0 M at W = 32. Smaller images have two levels of one block.
    if nested["model"]["model"] != "unet":
        return
    try:
        kind = kinds_of("data")[nested["data"]["data"]]
        size = float(nested["data"].get("size", getattr(kind, "side", Images.side)))
    except (TypeError, ValueError):
        return  # report a size that is not a number before missing levels
    levels = 3 if size >= 16 else 2
    model = nested["model"]
    model.setdefault("layers", levels - 1)
    model.setdefault("multipliers", [2**i for i in range(levels)])
    given = model["multipliers"]
    count = len(given) if isinstance(given, list | tuple) else 0
    model.setdefault("attention", [i > 0 for i in range(count)])


def _fill_conditional(nested: dict[str, Any]) -> None:
    if nested["training"].get("conditional") is not True:
        return
    nested["training"].setdefault("label_dropout", 0.1)
    nested["evaluation"].setdefault("guidance", 1.0)
    nested["evaluation"].pop("by_class", None)  # it is measured per class anyway: one run, not two


def _fill_ancestral(nested: dict[str, Any]) -> None:
    # ddim_steps are the sampler's network evaluations, and ancestral sampling has one at each timestep.
    objective = nested["objective"]
    if objective.get("sampler") == "ancestral":
        timesteps = objective.get("timesteps", DDPM.model_fields["timesteps"].default)
        nested["evaluation"].setdefault("ddim_steps", timesteps)


def _unknown(name: str, nested: dict[str, Any]) -> str:
    models = field_models().get(name)
    if not models or name in _FILLED_IN:
        return f"no such setting; {nearest(name, setting_names())}"
    group = next(group for group in GROUPS if models[0] in kinds_of(group).values())
    kinds = [kind for kind, model in kinds_of(group).items() if model in models]
    return f"only with {group} = {' or '.join(kinds)}; this run has {group} = {nested[group][group]}"


def _literals(annotation: Any) -> list[object]:
    """The values of a Literal, or of one that may be None."""
    values: list[object] = []
    for argument in get_args(annotation):
        values += get_args(argument) or ([argument] if argument is not NoneType else [])
    return values


def _group_of(name: str, nested: dict[str, Any]) -> type[BaseModel]:
    """A setting's group in this run's kind, if several kinds have it: `sampler` is of three objectives."""
    if name in GROUPS:
        return kinds_of(name)[nested[name][name]]
    return _PLAIN.get(name, RunSpec)


def _setting_error(error: ValidationError, nested: dict[str, Any]) -> SettingError:
    first = error.errors()[0]
    path = [part for part in first["loc"] if isinstance(part, str)]
    field = path[1] if len(path) > 1 else path[0]
    value = first["input"]
    if path == ["model"]:  # a rule over several fields
        field, value = "multipliers", nested["model"]["multipliers"]
    if first["type"] == "missing":
        models = field_models()[field]
        description = models[0].model_fields[field].description
        return SettingError(field, None, f"missing ({description}); give it in settings or in the grid")
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        annotation = _group_of(path[0], nested).model_fields[field].annotation
        problem = nearest(str(value), [str(a) for a in _literals(annotation)])
    return SettingError(field, value, problem)
