"""The jobs that runs were given to, by any executor; and submitting without staying on this machine.

What is known of a job is a record in the store; whether it lives is asked of its executor, all jobs in one question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.base import Handle
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.object_store import location
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import RunDirectory, StoreLayout


@dataclass(frozen=True, kw_only=True)
class GivenJob:
    """A job and the runs it was given.

    Attributes:
        alive: whether it waits or runs; None if its scheduler does not answer.
        word: the scheduler's own word, such as `PENDING (Resources)`.
    """

    handle: Handle
    run_ids: list[str]
    alive: bool | None
    word: str | None


def _recorded(sweep: str, layout: StoreLayout) -> Iterator[tuple[Handle, list[str]]]:
    for job_id in layout.job_ids():
        try:
            given = layout.job_runs(job_id).read_text().splitlines()
        except FileNotFoundError:  # removed when the job has ended
            continue
        record = read_record(layout.job(job_id), "sweep", "executor", "details")
        if record["sweep"] == sweep:
            handle = Handle(executor=record["executor"], job_id=job_id, details=record["details"])
            yield handle, [RunDirectory(location(line)).run_id for line in given]


def given_jobs(sweep: str, layout: StoreLayout) -> list[GivenJob]:
    """The jobs of a sweep that are not known to have ended, and those whose end nobody has noted yet."""
    of_executor: dict[str, list[tuple[Handle, list[str]]]] = defaultdict(list)
    for handle, run_ids in _recorded(sweep, layout):
        of_executor[handle.executor].append((handle, run_ids))
    jobs = []
    for name, given in of_executor.items():
        handles = [handle for handle, _ in given]
        executor = registry.executor_of(name)
        alive, words = executor.alive(handles), executor.words(handles)
        for (handle, run_ids), lives, word in zip(given, alive, words, strict=True):
            jobs.append(GivenJob(handle=handle, run_ids=run_ids, alive=lives, word=word))
    return jobs


def living_runs(jobs: Iterable[GivenJob]) -> set[str]:
    """The runs of jobs that live, or of which that is not known."""
    return {run_id for job in jobs if job.alive is not False for run_id in job.run_ids}


def cancel_jobs(sweep: str, layout: StoreLayout) -> int:
    """Cancel the jobs of a scheduler of whose runs none is to be executed any more; says how many."""
    wanted: dict[str, list[Handle]] = defaultdict(list)
    for job in given_jobs(sweep, layout):
        states = [run_status(layout.run(run_id)).state for run_id in job.run_ids]
        # A run that is executed now stops by itself at its next heartbeat.
        if (
            job.alive is not False
            and job.handle.executor != "local"
            and set(states) <= {"cancelled", "succeeded"}
        ):
            wanted[job.handle.executor].append(job.handle)
    for name, handles in wanted.items():
        registry.executor_of(name).cancel(handles)
    return sum(map(len, wanted.values()))
