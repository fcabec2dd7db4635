"""What went wrong: failures grouped by class and message (forty runs with one mistake are one group), and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.output import console, print_json
from orchestrator.selection import find_run
from storage.atomic import read_record
from storage.attempt_records import Failure, last_attempt, read_attempt
from storage.attempts import lost, run_status
from storage.errors import InputError, nearest
from storage.layout import StoreLayout

_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+(\.\d+)?(e[+-]?\d+)?")
_SHOWN = 10

HINTS: dict[Failure, str] = {
    "error": "a mistake in the code or the settings: the same happens again until it is mended; then `resume --failed`",
    "not_finite": "the training diverged: lower lr, lengthen warmup or set clip; that makes a new run",
    "out_of_memory": "fewer workers at once, or a smaller model or batch (a new run); then `resume --failed`",
    "bad_data": "see whether the images are there and readable, `run` the sweep file again; then `resume --failed`",
    "lost_worker": "killed from outside: look for the kernel's OOM killer (dmesg) or the scheduler's limits, lower "
    "memory or time, or raise resources.max_attempts; then `resume`",
}


@dataclass
class FailureGroup:
    """Runs that failed in the same way.

    Attributes:
        failure: class of the failure.
        error: message of the first of them; hint: what can be done.
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
    """Group the failed among some runs, the largest group first."""
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
        # Numbers differ from run to run (steps, losses, pids, run ids in paths) where the mistake is the same one.
        shape = _NUMBERS.sub("#", trace or record.failure or "")
        failure = record.failure or "error"
        new = FailureGroup(failure, status.error or "", HINTS[failure], trace)
        group = groups.setdefault((failure, shape), new)
        group.run_ids.append(run_id)
        group.logs.append(run.log(record.attempt))
    return sorted(groups.values(), key=lambda group: -len(group.run_ids))


def print_groups(groups: Iterable[FailureGroup]) -> None:
    """Show each group once: how many runs, what to do, the traceback and the logs of some of them."""
    for group in groups:
        console.print(
            f"{len(group.run_ids)} × {group.failure}: {group.error}",
            style="bold",
            soft_wrap=True,
        )
        console.print(f"→ {group.hint}", soft_wrap=True)
        if group.traceback:
            console.print(group.traceback.rstrip(), soft_wrap=True)
        for run_id, log in list(zip(group.run_ids, group.logs, strict=True))[:_SHOWN]:
            console.print(f"  {run_id}  {log}", soft_wrap=True)
        if len(group.run_ids) > _SHOWN:
            console.print(f"  … and {len(group.run_ids) - _SHOWN} more; --json prints all")


def print_log(layout: StoreLayout, target: str, *, as_json: bool) -> None:
    """Print what the newest attempt of a run printed.

    Args:
        layout: the store.
        target: the run's id, or the beginning of it.
        as_json: print a document instead.

    Raises:
        InputError: no run, or several, begin so; or the run has not been started.
    """
    run = find_run(target, layout, f", and no sweep is called so; {nearest(target, layout.sweep_names())}")
    record = last_attempt(run)
    if record is None:
        jobs = [log for job in _jobs_of(layout, run.run_id) for log in job_logs(layout, job)]
        raise InputError(
            f"{run.run_id}: the run has not been started, there is no log"
            + "".join(f"\nits job printed: {path}" for path in jobs)
        )
    log = run.log(record.attempt)
    content = log.read_text(errors="replace") if log.exists() else ""
    beside = [str(path) for path in job_logs(layout, record.job_id)]
    if as_json:
        told = {"run_id": run.run_id, "attempt": record.attempt, "path": str(log), "job_logs": beside}
        print_json({**told, "log": content})
        return
    console.print(f"{log} (attempt {record.attempt} of {len(run.attempt_numbers())})", soft_wrap=True)
    console.print(content or "nothing was printed", soft_wrap=True)
    for path in beside:
        console.print(f"its job printed: {path}", soft_wrap=True)


def job_logs(layout: StoreLayout, job_id: str | None) -> list[Path]:
    """What a job itself printed, outside of its runs: the worker, and what the scheduler kept. Empty files are left out."""
    if job_id is None or not layout.job(job_id).exists():
        return []
    output = read_record(layout.job(job_id), "details")["details"].get("output")
    logs = [layout.job_log(job_id), *([Path(output)] if output else [])]
    return [log for log in logs if log.exists() and log.stat().st_size]


def _jobs_of(layout: StoreLayout, run_id: str) -> Iterator[str]:
    """Jobs that were given a run and are not known to have ended."""
    for job_id in layout.job_ids():
        listing = layout.job_runs(job_id)
        if listing.exists() and run_id in listing.read_text():
            yield job_id
