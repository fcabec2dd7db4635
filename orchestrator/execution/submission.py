"""Submits runs to a scheduler, as many as it takes, and more as jobs end.

A run is submitted again only if no job that has it may be alive. Claims ensure that a run given to two jobs executes once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tausweep.orchestrator.execution.reconcile import note_ended
from tausweep.orchestrator.execution.run_states import todo
from tausweep.orchestrator.executors.base import Executor, Handle, JobRequest
from tausweep.orchestrator.executors.job_records import GivenJob, given_jobs, living_runs
from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.jobs import JobRecord, end_job, list_runs, write_job
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import each, for_each
from tausweep.storage.layout import StoreLayout


class Limits(Protocol):
    """What a scheduler takes: jobs in one call, and jobs in all (None for any number)."""

    @property
    def array_tasks(self) -> int:
        """Jobs of one call."""

    @property
    def jobs(self) -> int | None:
        """Jobs that may still be submitted."""


class Scheduler(Executor, Protocol):
    """An executor whose jobs wait for their turn."""

    def limits(self, resources: Resources) -> Limits:
        """What may be submitted now."""

    def at_once(self, handles: Sequence[Handle]) -> int:
        """How many of some jobs may run at once by what was submitted."""


@dataclass(frozen=True, kw_only=True)
class Fed:
    """What one round handed over.

    Attributes:
        jobs: submitted jobs.
        runs: runs in them.
        left: runs that are still to be handed over.
        why: what stopped it; None if nothing is left.
        idle: jobs that have ended without beginning a run, though there was one to begin.
    """

    jobs: list[Handle]
    runs: int
    left: int
    why: str | None = None
    idle: list[GivenJob] = field(default_factory=list)


def cut(runs: Sequence[PlannedRun], size: int) -> list[list[PlannedRun]]:
    """Divide runs, the most expensive first, into jobs of at most so many that cost about the same."""
    count = -(-len(runs) // size)
    return [list(runs[start::count]) for start in range(count)]


def open_runs(plan: Plan, jobs: Sequence[GivenJob]) -> list[PlannedRun]:
    """Runs that are to be executed and that no job which may live was given."""
    given = living_runs(jobs)
    return [run for run in todo(plan) if run.run_id not in given]


def _batches(
    chunks: list[list[PlannedRun]], array_tasks: int, parallel: int | None
) -> Iterator[tuple[list[list[PlannedRun]], int | None]]:
    """Arrays, each with how many of its jobs may run at once: together no more than are allowed."""
    batches = [chunks[start : start + array_tasks] for start in range(0, len(chunks), array_tasks)]
    if parallel is None:
        yield from ((batch, None) for batch in batches)
        return
    batches = batches[:parallel]
    for index, batch in enumerate(batches):
        share = parallel // len(batches) + (index < parallel % len(batches))
        yield batch, share


def feed(plan: Plan, layout: StoreLayout, executor: Scheduler) -> Fed:
    """Submit what is to do and was not submitted yet, within the site's limits and the sweep's own.

    Args:
        plan: the sweep's, prepared, with present states.
        layout: the store.
        executor: the scheduler.

    Raises:
        TausweepError: the first submission was refused; nothing was submitted or marked so.
    """
    jobs = given_jobs(plan.sweep, layout)
    idle = note_ended(jobs, layout)
    runs = open_runs(plan, jobs)
    if not runs:
        return Fed(jobs=[], runs=0, left=0, idle=idle)
    resources = plan.resources
    chunks = cut(runs, resources.slurm.runs_per_job)
    limits = executor.limits(resources)
    promised = [job.handle for job in jobs if job.alive is not False and job.handle.executor == executor.name]
    parallel = None if resources.workers is None else resources.workers - executor.at_once(promised)
    why = None
    if limits.jobs is not None and limits.jobs < len(chunks):
        why = f"the site lets this user submit {limits.jobs} more jobs now"
        chunks = chunks[: limits.jobs]
    if parallel is not None and parallel < 1:
        why = f"workers = {resources.workers} are submitted already"
        return Fed(jobs=[], runs=0, left=len(runs), why=why, idle=idle)
    handles: list[Handle] = []
    done = 0
    for batch, share in _batches(chunks, limits.array_tasks, parallel):
        limited = resources if share is None else resources.model_copy(update={"workers": share})
        try:
            ids = [[run.run_id for run in chunk] for chunk in batch]
            handles += submit_jobs(plan.sweep, layout, executor, ids, limited)
        except TausweepError as error:
            if not handles:
                raise
            why = str(error)
            break
        done += sum(map(len, batch))
    left = len(runs) - done
    if left and why is None:
        why = f"arrays of {limits.array_tasks} jobs with workers = {resources.workers} at once in all"
    return Fed(jobs=handles, runs=done, left=left, why=why if left else None, idle=idle)


def submit_jobs(
    sweep: str, layout: StoreLayout, executor: Executor, batch: Sequence[Sequence[str]], resources: Resources
) -> list[Handle]:
    """Submit a job for each list of run ids, and record it.

    Raises:
        TausweepError: a job was refused; none of this batch is recorded.
    """
    stem = f"{sweep}-{uuid.uuid4().hex[:8]}"

    def write_listing(item: tuple[int, Sequence[str]]) -> JobRequest:
        job_id = f"{stem}-{item[0]}"
        list_runs(layout, job_id, map(layout.run, item[1]))
        return JobRequest(job_id=job_id, layout=layout, resources=resources)

    requests = list(each(layout.root, write_listing, enumerate(batch), writes=True))
    try:
        handles = executor.submit(requests)
    except BaseException:  # also Ctrl-C: a job without a listing finds nothing to do, and its runs are free
        for request in requests:
            end_job(layout, request.job_id)
        raise
    submitted = time.time()

    def write_handle(handle: Handle) -> None:
        write_job(layout, JobRecord(sweep=sweep, submitted=submitted, **vars(handle)))

    for_each(layout.root, write_handle, handles, writes=True)
    return handles
