"""Failures grouped by class and message (forty runs with one mistake are one group), and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tausweep.storage.attempts.claims import lost
from tausweep.storage.attempts.jobs import jobs_not_ended, read_job
from tausweep.storage.attempts.records import Failure, read_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import StoreLayout

_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+(\.\d+)?(e[+-]?\d+)?")

HINTS: dict[Failure, str] = {
    "error": "a mistake in the code or the settings: correct it, then `resume --failed`",
    "not_finite": "the training diverged: lower lr, lengthen warmup or set clip; this makes a new run",
    "out_of_memory": "fewer workers at once, or a smaller model or batch (a new run); then `resume --failed`",
    "bad_data": "check that the images exist and are readable, `run` the sweep file again; then `resume --failed`",
    "lost_worker": "killed from outside: check the kernel's OOM killer (dmesg) and the scheduler's limits, lower "
    "memory or time, or raise resources.max_attempts; then `resume`",
}


@dataclass
class FailureGroup:
    """Runs that failed in the same way.

    Attributes:
        failure: class of the failure.
        error: message of the first of them; hint: what to do.
        traceback: traceback of the first, empty for workers that vanished.
        run_ids, logs: all of them.
    """

    failure: Failure
    error: str
    hint: str
    traceback: str
    run_ids: list[str] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)


def group_failures(layout: StoreLayout, run_ids: Iterable[str]) -> list[FailureGroup]:
    """Group the failed runs, largest group first."""
    groups: dict[tuple[str, str], FailureGroup] = {}
    for run_id in run_ids:
        run = layout.run(run_id)
        status = run_status(run)
        if status.state != "failed":
            continue
        record = read_attempt(run, status.attempt)
        if record.state == "running":
            record = lost(run, record)
        trace = record.traceback or ""
        # Numbers (steps, losses, pids, run ids in paths) differ between runs with the same mistake.
        shape = _NUMBERS.sub("#", trace or record.failure or "")
        failure = record.failure or "error"
        new = FailureGroup(failure, status.error or "", HINTS[failure], trace)
        group = groups.setdefault((failure, shape), new)
        group.run_ids.append(run_id)
        group.logs.append(run.log(record.attempt))
    return sorted(groups.values(), key=lambda group: -len(group.run_ids))


def job_logs(layout: StoreLayout, job_id: str | None) -> list[Path]:
    """The output of a job outside its runs: of the worker, and as kept by the scheduler.

    Empty files are left out.
    """
    if job_id is None or not layout.job(job_id).exists():
        return []
    output = read_job(layout, job_id).output
    logs = [layout.job_log(job_id), *([output] if output else [])]
    return [log for log in logs if log.exists() and log.stat().st_size]


def jobs_of(layout: StoreLayout, run_id: str) -> Iterator[str]:
    """Jobs that execute a run and are not known to have ended."""
    for record, runs in jobs_not_ended(layout):
        if run_id in {run.run_id for run in runs}:
            yield record.job_id
