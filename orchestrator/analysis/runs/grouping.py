"""Groups of runs for laws and boundaries: one condition, or conditions that differ only in width.

Called by the resolver, the figures and the report; knows only results.
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
    """The fields of a condition in a result, typed so that type checkers see what `**` passes on."""

    W: int
    width_axis: WidthAxis
    optimizer: str
    batch: str
    settings: dict[str, str]
    p: int


def condition_of(value: OfCondition) -> Condition:
    """The condition of a result; conditions are ordered and hashable."""
    settings = tuple(sorted(value.settings.items()))
    return Condition(
        W=value.W,
        optimizer=value.optimizer,
        batch=value.batch,
        settings=settings,
        width_axis=value.width_axis,
    )


def condition_fields(condition: Condition, p: int) -> ConditionFields:
    """The fields of a condition in a result; p is the parameter count of its network."""
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
    """The common part of conditions of all widths, as text."""
    if isinstance(value, Competition):
        settings = tuple(sorted(value.settings.items()))
        W = value.W_values[0]
        condition = Condition(W=W, optimizer=value.optimizer, batch=value.batch, settings=settings)
    else:
        condition = condition_of(value)
    return ", ".join(group_words(condition))


def group_words(condition: Condition) -> list[str]:
    """The name of a condition apart from its width: the dividing settings, optimizer and batch policy."""
    batch = [f"batch {condition.batch}"] if condition.batch else []
    return [*filter(None, [condition.optimizer]), *batch, *setting_words(condition)]


def setting_words(condition: Condition) -> list[str]:
    """The settings that divide the runs besides width, optimizer and batch, as a sweep file writes them."""
    return [f"{name} = {_plain(name, json.loads(text))}" for name, text in condition.settings]


def width_words(of: Condition | OfCondition) -> str:
    """Such as `W = 16`; `p = 4,321` for runs without W."""
    return f"W = {of.W}" if of.width_axis == "W" else f"p = {of.W:,}"


def width_axis(of: Iterable[Condition | OfCondition]) -> str:
    """The measure of these widths: W, p, or "W or p"."""
    return " or ".join(sorted({one.width_axis for one in of})) or "W"


def _plain(name: str, value: Any) -> str:
    if name == "fingerprint" and value:
        return str(value)[:8]
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def by_condition(runs: Sequence[RunTimescales], criterion: str) -> list[list[RunTimescales]]:
    """Runs that measured a criterion, one list per condition, in the order of conditions."""
    groups: dict[Condition, list[RunTimescales]] = defaultdict(list)
    for run in runs:
        if criterion in run.crossings:
            groups[condition_of(run)].append(run)
    return [groups[key] for key in sorted(groups)]
