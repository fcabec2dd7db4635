"""Failures and logs on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from tausweep.orchestrator.stores.failures import FailureGroup, job_logs, jobs_of
from tausweep.orchestrator.stores.selection import find_run
from tausweep.orchestrator.terminal.console import console, print_json
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.errors import InputError, nearest
from tausweep.storage.layout import StoreLayout

_SHOWN = 10


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
        InputError: no run, or several, have such an id; or the run has not been started.
    """
    run = find_run(target, layout, f", and no sweep has this name; {nearest(target, layout.sweep_names())}")
    record = last_attempt(run)
    if record is None:
        jobs = [log for job in jobs_of(layout, run.run_id) for log in job_logs(layout, job)]
        raise InputError(
            f"{run.run_id}: the run has not started, so there is no log"
            + "".join(f"\nits job printed: {path}" for path in jobs)
        )
    log = run.log(record.attempt)
    content = log.read_text(errors="replace") if log.exists() else ""
    beside = [str(path) for path in job_logs(layout, record.job_id)]
    if as_json:
        document = {"run_id": run.run_id, "attempt": record.attempt, "path": str(log), "job_logs": beside}
        print_json({**document, "log": content})
        return
    console.print(f"{log} (attempt {record.attempt} of {len(run.attempt_numbers())})", soft_wrap=True)
    console.print(content or "nothing was printed", soft_wrap=True)
    for path in beside:
        console.print(f"its job printed: {path}", soft_wrap=True)
