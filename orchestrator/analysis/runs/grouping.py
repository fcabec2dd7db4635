"""Runs of one condition, and runs of one condition but for its width: what laws and boundaries are fitted to.

Called by the resolver, the figures and the report; knows results only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from tausweep.orchestrator.analysis.runs.curves import Condition, WidthAxis
from tausweep.orchestrator.analysis.runs.results import (
    ArchitecturalLine,
    Boundary,
    ClassRegime,
    Collapse,
    Competition,
    Fit,
    PhasePoint,
    RunTimescales,
    Timescale,
)

OfCondition = (
    ArchitecturalLine | Boundary | ClassRegime | Collapse | Fit | PhasePoint | RunTimescales | Timescale
)


class ConditionFields(TypedDict):
    """The fields of a condition in a result, so that type checkers see what `**` hands to its constructor."""

    W: int
    width_axis: WidthAxis
    optimizer: str
    batch: str
    settings: dict[str, str]
    p: int


def condition_of(value: OfCondition) -> Condition:
    """The condition that a result belongs to; conditions are ordered and may be keys."""
    settings = tuple(sorted(value.settings.items()))
    return Condition(
        W=value.W,
        optimizer=value.optimizer,
        batch=value.batch,
        settings=settings,
        width_axis=value.width_axis,
    )


def condition_fields(condition: Condition, p: int) -> ConditionFields:
    """The fields of a condition in a result; p are the parameters of its network."""
    return ConditionFields(
        W=condition.W,
        width_axis=condition.width_axis,
        optimizer=condition.optimizer,
        batch=condition.batch,
        settings=dict(condition.settings),
        p=p,
    )


def described(run: RunTimescales | Timescale) -> ConditionFields:
    """The fields of a run's condition, for a result of that condition."""
    return ConditionFields(
        W=run.W,
        width_axis=run.width_axis,
        optimizer=run.optimizer,
        batch=run.batch,
        settings=run.settings,
        p=run.p,
    )


def group_of(value: OfCondition | Competition) -> str:
    """What runs of all widths have in common, in words."""
    if isinstance(value, Competition):
        settings = tuple(sorted(value.settings.items()))
        W = value.W_values[0]
        condition = Condition(W=W, optimizer=value.optimizer, batch=value.batch, settings=settings)
    else:
        condition = condition_of(value)
    return ", ".join(group_words(condition))


def group_words(condition: Condition) -> list[str]:
    """What names a condition besides its width: what divides the runs, the optimizer and the batch policy."""
    batch = [f"batch {condition.batch}"] if condition.batch else []
    return [*filter(None, [condition.optimizer]), *batch, *setting_words(condition)]


def setting_words(condition: Condition) -> list[str]:
    """The settings that divide the runs besides width, optimizer and batch, as a sweep file writes them."""
    return [f"{name} = {_plain(name, json.loads(text))}" for name, text in condition.settings]


def width_words(of: Condition | OfCondition) -> str:
    """Such as `W = 16`; `p = 4,321` of runs without a base width."""
    return f"W = {of.W}" if of.width_axis == "W" else f"p = {of.W:,}"


def width_axis(of: Iterable[Condition | OfCondition]) -> str:
    """What the widths of these are measured by: W, p, or W or p."""
    return " or ".join(sorted({one.width_axis for one in of})) or "W"


def _plain(name: str, value: Any) -> str:
    if name == "fingerprint" and value:
        return str(value)[:8]
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def by_condition(runs: Sequence[RunTimescales], criterion: str) -> list[list[RunTimescales]]:
    """Runs that measured a criterion, a list per condition, in the order of conditions."""
    groups: dict[Condition, list[RunTimescales]] = defaultdict(list)
    for run in runs:
        if criterion in run.crossings:
            groups[condition_of(run)].append(run)
    return [groups[key] for key in sorted(groups)]
