"""Hands runs to a scheduler, as many as it takes, and goes on handing as room appears.

A run is given again only if no job that has it may live. Which job executes a run is decided by claims, so that a run
that two jobs were given, by two commands at once, is executed once all the same.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from tausweep.orchestrator.execution.reconcile import note_ended
from tausweep.orchestrator.execution.run_states import todo
from tausweep.orchestrator.executors.base import Executor, Handle, JobRequest
from tausweep.orchestrator.executors.job_records import GivenJob, given_jobs, living_runs
from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.atomic import publish_bytes
from tausweep.storage.files.object_store import each, for_each
from tausweep.storage.files.records import write_record
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
    """Divide runs, the dearest first, into jobs of at most so many that cost about the same."""
    count = -(-len(runs) // size)
    return [list(runs[start::count]) for start in range(count)]


def open_runs(plan: Plan, jobs: Sequence[GivenJob]) -> list[PlannedRun]:
    """Runs that are to be executed and that no job which may live was given."""
    given = living_runs(jobs)
    return [run for run in todo(plan) if run.run_id not in given]


def _promised(jobs: Sequence[GivenJob]) -> int:
    """How many jobs may run at once by what was submitted before."""
    arrays: dict[str, tuple[int, int]] = {}
    for job in jobs:
        if job.alive is not False and job.handle.executor != "local":
            array = str(job.handle.details.get("array"))
            most = job.handle.details.get("parallel") or 1
            arrays[array] = (most, arrays.get(array, (0, 0))[1] + 1)
    return sum(min(most, count) for most, count in arrays.values())


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
    parallel = None if resources.workers is None else resources.workers - _promised(jobs)
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
        asked = resources if share is None else resources.model_copy(update={"workers": share})
        try:
            handles += submit_jobs(plan.sweep, layout, executor, batch, asked)
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
    sweep: str, layout: StoreLayout, executor: Executor, batch: list[list[PlannedRun]], resources: Resources
) -> list[Handle]:
    """Submit a job for each list of runs, and record it.

    Raises:
        TausweepError: a job was refused; none of this batch is recorded.
    """
    stem = f"{sweep}-{uuid.uuid4().hex[:8]}"

    def write_listing(item: tuple[int, list[PlannedRun]]) -> JobRequest:
        job_id = f"{stem}-{item[0]}"
        listing = "".join(f"{layout.run(run.run_id).path.resolve()}\n" for run in item[1]).encode()
        publish_bytes(layout.job_runs(job_id), listing)
        return JobRequest(job_id=job_id, layout=layout, resources=resources)

    requests = list(each(layout.root, write_listing, enumerate(batch), writes=True))
    try:
        handles = executor.submit(requests)
    except (
        BaseException
    ):  # also Ctrl-C: a job of which no listing is left finds nothing to do, and its runs are free
        for request in requests:
            layout.job_runs(request.job_id).unlink(missing_ok=True)
        raise
    submitted = time.time()

    def write_handle(handle: Handle) -> None:
        write_record(layout.job(handle.job_id), {"sweep": sweep, "submitted": submitted, **asdict(handle)})

    for_each(layout.root, write_handle, handles, writes=True)
    return handles
