"""States of a plan's runs: refreshed, settled, reopened, cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.storage.attempts.claims import settle
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import last_attempt, write_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.atomic import publish_bytes
from tausweep.storage.files.object_store import each, for_each
from tausweep.storage.layout import RunDirectory, StoreLayout

POLL_SECONDS = 0.5

Update = Callable[[Plan], None]
"""Told about the plan's state every now and then."""


def reopen(runs: Sequence[RunDirectory]) -> None:
    """Let cancelled, failed and lost runs be executed again at once, because the user asked for it.

    A worker of another machine that seems to be lost is watched until that is known.
    """
    watch = Watch()
    while False in [settle(run, watch) for run in runs]:  # look at all of them each time
        time.sleep(POLL_SECONDS)
    for run in runs:
        run.cancel.unlink(missing_ok=True)
        record = last_attempt(run)
        if record is not None and record.state in ("failed", "cancelled"):
            write_attempt(run, record.model_copy(update={"retry": True}))


def cancel(run: RunDirectory) -> None:
    """Mark a run as cancelled: whoever executes it stops with a checkpoint at its next heartbeat."""
    if run_status(run).state != "succeeded":
        publish_bytes(run.cancel, b"")


def refresh(plan: Plan, layout: StoreLayout) -> Plan:
    """The plan with the runs' present states; runs that have succeeded are not looked at again."""

    def refreshed(run: PlannedRun) -> PlannedRun:
        done = run.status.state == "succeeded"
        return run if done else replace(run, status=run_status(layout.run(run.run_id)))

    return replace(plan, runs=list(each(layout.root, refreshed, plan.runs)))


def settled(plan: Plan, layout: StoreLayout) -> Plan:
    """The plan with present states, after the ends of attempts whose workers are known to be dead were written."""
    watch = Watch()
    for_each(layout.root, lambda run: settle(layout.run(run.run_id), watch), plan.runs)
    return refresh(plan, layout)


def todo(plan: Plan) -> list[PlannedRun]:
    """Runs that are to be executed, the most expensive first, so that the last hours are not one long run's."""
    return sorted((run for run in plan.runs if run.status.waiting), key=lambda run: -run.cost_left)
