"""Watches a sweep whose jobs a scheduler executes, until its runs are done."""

from __future__ import annotations

import time
from dataclasses import replace

from tausweep.orchestrator.execution.reconcile import note_ended, what_happened
from tausweep.orchestrator.execution.run_states import Update, refresh, todo
from tausweep.orchestrator.execution.submission import Scheduler, feed
from tausweep.orchestrator.executors.job_records import GivenJob, given_jobs
from tausweep.orchestrator.plan.plan import Plan, with_jobs
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout
from tausweep.storage.maintenance import MERGED_RUNS
from tausweep.storage.maintenance.compaction import compact

POLL_SECONDS = 15.0
_IDLE_JOBS = 3  # ended without starting a run: no run is at fault


def watch_jobs(plan: Plan, layout: StoreLayout, executor: Scheduler, watch: Update) -> Plan:
    """Feed a sweep until it is done, and merge the parts of what has finished.

    Returns:
        The plan with its final states.

    Raises:
        TausweepError: jobs end one after the other before they begin a run, or the first submission was refused.
    """
    idle: list[GivenJob] = []
    merged = {run.run_id for run in plan.runs if run.status.state == "succeeded"}
    while True:
        plan = refresh(plan, layout)
        idle += note_ended(given_jobs(plan.sweep, layout), layout)
        if len(idle) >= _IDLE_JOBS:
            raise TausweepError(what_happened(idle[-1]))
        feed(plan, layout, executor)
        plan = replace(plan, runs=with_jobs(plan.runs, plan.sweep, layout))
        watch(plan)
        done = {run.run_id for run in plan.runs if run.status.state == "succeeded"}
        over = not any(run.status.waiting or run.status.state == "running" for run in plan.runs)
        if len(done - merged) >= MERGED_RUNS or (over and len(plan.runs) >= MERGED_RUNS):
            compact(layout, done - merged)
            merged = done
        if over:
            note_ended(given_jobs(plan.sweep, layout), layout)
            return plan
        time.sleep(POLL_SECONDS)


def canary(plan: Plan, layout: StoreLayout, executor: Scheduler, watch: Update) -> None:
    """Execute one run of a sweep, the cheapest, and wait for its end; does nothing if one has succeeded already.

    Raises:
        TausweepError: it did not succeed; nothing else was submitted.
    """
    if plan.count("succeeded") or not todo(plan):
        return
    first = min(todo(plan), key=lambda run: run.cost_left)
    one = watch_jobs(replace(plan, runs=[first]), layout, executor, watch).runs[0]
    if one.status.state != "succeeded":
        reason = one.status.error or one.status.state
        raise TausweepError(
            f"the canary, run {one.run_id}, ended as {one.status.state}: {reason}. Nothing else was submitted; see "
            f"`tausweep logs {one.run_id}`"
        )
