"""The registered kinds of data, models, objectives and optimisers.

A kind is a group of settings that names its builder. One line in `KINDS` registers it. Called by
`jobs.spec.run_spec`, which turns the kinds' fields into settings, axes, filters and columns, and by the four
builders. Torch-free: code that needs torch is behind the builder's name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, get_args

from tausweep.jobs.spec.data import (
    Celeba,
    Digits,
    Folder,
    Gaussian,
    GaussianMixture,
    Imported,
    StudentT,
)
from tausweep.jobs.spec.fields import Kind
from tausweep.jobs.spec.model import MLP, RandomFeatures, UNet
from tausweep.jobs.spec.objective import DDPM, FlowMatching, Interpolant, ScoreAtT
from tausweep.jobs.spec.optimizer import SGD, Adam, AdamW, GradientDescent

GROUPS = ("data", "model", "objective", "optimizer")

KINDS: list[type[Kind] | str] = [
    Digits,
    Folder,
    Celeba,
    Imported,
    GaussianMixture,
    Gaussian,
    StudentT,
    UNet,
    MLP,
    RandomFeatures,
    DDPM,
    FlowMatching,
    Interpolant,
    ScoreAtT,
    Adam,
    AdamW,
    SGD,
    GradientDescent,
]
"""A kind is registered by its line here; the first of a group is what a run has that names none.

A kind that shares a file with its builder, in a wing above this one, is named, such as "mypackage.rings:Rings".
"""


def kinds_of(group: str) -> Mapping[str, type[Kind]]:
    """The kinds of a group by name, in the order of `KINDS`."""
    return _by_group(tuple(KINDS))[group]


@functools.lru_cache(maxsize=8)
def _by_group(registered: tuple[type[Kind] | str, ...]) -> dict[str, dict[str, type[Kind]]]:
    by_group: dict[str, dict[str, type[Kind]]] = {group: {} for group in GROUPS}
    for entry in registered:
        kind: type[Kind] = resolve_name(entry) if isinstance(entry, str) else entry
        (name,) = get_args(kind.model_fields[kind.group].annotation)
        by_group[kind.group][name] = kind
    return by_group


def builder_of(settings: Kind) -> Callable[..., Any]:
    """The builder that a kind's settings name; loads its module."""
    builder: Callable[..., Any] = resolve_name(type(settings).builder)
    return builder
