"""The jobs of all executors, their runs, and whether they are alive.

A job's record is in the store. Its executor tells whether it is alive, with one question for all jobs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.base import Handle
from tausweep.storage.attempts.jobs import JobRecord, jobs_not_ended
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import StoreLayout


@dataclass(frozen=True, kw_only=True)
class GivenJob:
    """A job and its runs.

    Attributes:
        name: the scheduler's name of the job.
        output: the scheduler's file with its output, None if there is none.
        supervised: whether the submitting process watches it, see `orchestrator.executors.base.Executor`.
        alive: whether it waits or runs; None if its scheduler does not answer.
        word: the scheduler's own state, such as `PENDING (Resources)`.
    """

    handle: Handle
    run_ids: list[str]
    name: str
    output: Path | None
    supervised: bool
    alive: bool | None
    word: str | None


def given_jobs(sweep: str, layout: StoreLayout) -> list[GivenJob]:
    """The jobs of a sweep that are not known to have ended, and those whose end is not noted yet."""
    of_executor: dict[str, list[tuple[JobRecord, list[str]]]] = defaultdict(list)
    for record, runs in jobs_not_ended(layout):
        if record.sweep == sweep:
            of_executor[record.executor].append((record, [run.run_id for run in runs]))
    jobs = []
    for executor_name, records in of_executor.items():
        executor = registry.executor_of(executor_name)
        handles = [Handle.of(record) for record, _ in records]
        alive, words = executor.alive(handles), executor.words(handles)
        for (record, run_ids), handle, lives, word in zip(records, handles, alive, words, strict=True):
            job = GivenJob(
                handle=handle,
                run_ids=run_ids,
                name=executor.job_name(handle),
                output=record.output,
                supervised=executor.supervised,
                alive=lives,
                word=word,
            )
            jobs.append(job)
    return jobs


def living_runs(jobs: Iterable[GivenJob]) -> set[str]:
    """The runs of jobs that are alive or may be alive."""
    return {run_id for job in jobs if job.alive is not False for run_id in job.run_ids}


def cancel_jobs(sweep: str, layout: StoreLayout) -> int:
    """Cancel scheduler jobs with no runs left to execute; return how many."""
    idle: dict[str, list[Handle]] = defaultdict(list)
    for job in given_jobs(sweep, layout):
        states = {run_status(layout.run(run_id)).state for run_id in job.run_ids}
        # A running run stops by itself at its next heartbeat.
        if job.alive is not False and not job.supervised and states <= {"cancelled", "succeeded"}:
            idle[job.handle.executor].append(job.handle)
    for executor_name, handles in idle.items():
        registry.executor_of(executor_name).cancel(handles)
    return sum(map(len, idle.values()))
