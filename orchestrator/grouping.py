"""Runs of one condition, and runs of one condition but for its width: what laws and boundaries are fitted to.

Called by the resolver, the figures and the report; knows results only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.curves import Condition
from orchestrator.results import (
    ArchitecturalLine,
    Boundary,
    ClassRegime,
    Collapse,
    Fit,
    PhasePoint,
    RunTimescales,
    Timescale,
)

OfCondition = (
    ArchitecturalLine | Boundary | ClassRegime | Collapse | Fit | PhasePoint | RunTimescales | Timescale
)


def condition_of(value: OfCondition) -> Condition:
    """The condition that a result belongs to; conditions are ordered and may be keys."""
    settings = tuple(sorted(value.settings.items()))
    return Condition(W=value.W, optimizer=value.optimizer, batch=value.batch, settings=settings)


def condition_fields(condition: Condition, p: int) -> dict[str, Any]:
    """The fields of a condition in a result; p are the parameters of its network."""
    settings = dict(condition.settings)
    return {
        "W": condition.W,
        "optimizer": condition.optimizer,
        "batch": condition.batch,
        "settings": settings,
        "p": p,
    }


def described(run: RunTimescales | Timescale) -> dict[str, Any]:
    """The fields of a run's condition, for a result of that condition."""
    return {key: getattr(run, key) for key in ("W", "optimizer", "batch", "settings", "p")}


def group_of(value: OfCondition) -> str:
    """What runs of all widths have in common, in words."""
    settings = [f"{name} = {text}" for name, text in sorted(value.settings.items())]
    return ", ".join([value.optimizer, f"batch {value.batch}", *settings])


def by_condition(runs: Sequence[RunTimescales], criterion: str) -> list[list[RunTimescales]]:
    """Runs that measured a criterion, a list a condition, in the order of conditions."""
    groups: dict[Condition, list[RunTimescales]] = defaultdict(list)
    for run in runs:
        if criterion in run.crossings:
            groups[condition_of(run)].append(run)
    return [groups[key] for key in sorted(groups)]
