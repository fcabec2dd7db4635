"""Failures of a sweep, grouped by their traceback: forty runs with one mistake are one group."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from storage.attempts import lost, read_attempt, run_status
from storage.layout import StoreLayout

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass
class FailureGroup:
    """Runs that failed in the same way.

    Attributes:
        failure: class of the failure.
        error: message of the first of them.
        traceback: traceback of the first, empty for workers that vanished.
        run_ids, logs: all of them.
    """

    failure: str
    error: str
    traceback: str
    run_ids: list[str] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)


def group_failures(layout: StoreLayout, run_ids: Iterable[str]) -> list[FailureGroup]:
    """Group the failed among some runs, the largest group first."""
    groups: dict[tuple[str, str], FailureGroup] = {}
    for run_id in run_ids:
        run = layout.run(run_id)
        status = run_status(run)
        if status.state != "failed":
            continue
        record = read_attempt(run, status.attempt)
        if record.state == "running":
            record = lost(record)
        trace = record.traceback or ""
        # Numbers differ from run to run (steps, losses, pids, lines of data) where the mistake is the same one.
        shape = _NUMBERS.sub("#", trace or record.failure or "")
        failure = record.failure or "error"
        group = groups.setdefault((failure, shape), FailureGroup(failure, record.error or "", trace))
        group.run_ids.append(run_id)
        group.logs.append(run.log(record.attempt))
    return sorted(groups.values(), key=lambda group: -len(group.run_ids))
