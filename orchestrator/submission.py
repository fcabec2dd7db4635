"""The jobs that runs were given to, by any executor; and submitting without staying on this machine.

What is known of a job is a record in the store; whether it lives is asked of its executor, all jobs in one question.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from orchestrator.executors.base import Executor, Handle
from orchestrator.executors.local import LocalExecutor
from storage.atomic import read_record
from storage.attempts import run_status
from storage.errors import InputError, nearest
from storage.layout import RunDirectory, StoreLayout
from storage.local_files import local_log
from storage.objects import location

EXECUTORS = ("local", "slurm", "ray")


def require_executor(name: str) -> None:
    """Check the name of an executor.

    Raises:
        InputError: there is none of this name, or a package that it needs is not installed.
    """
    if name not in EXECUTORS:
        raise InputError(f"--executor {name}: {nearest(name, EXECUTORS)}")
    if name == "ray":
        from orchestrator.executors.ray_cluster import require_ray

        require_ray()
    if name == "slurm":
        try:
            import submitit  # noqa: F401 - looked for before anything is written
        except ImportError as error:
            raise InputError(
                "--executor slurm: needs a package that is not installed: pip install 'tausweep[slurm]'"
            ) from error


def require_use(executor: str, options: dict[str, object], *executors: str) -> None:
    """Check that options are of use to an executor.

    Raises:
        InputError: one is given that only other executors know.
    """
    given = [name for name, value in options.items() if value]
    if given and executor not in executors:
        told = " or ".join(executors)
        raise InputError(f"{given[0]}: only with --executor {told}; {executor} has no use for it")


@cache
def executor_of(name: str) -> Executor:
    """The executor of a name, one object a process: it remembers what its scheduler said."""
    if name == "local":
        return LocalExecutor()
    if name == "ray":
        from orchestrator.executors.ray import RayExecutor

        return RayExecutor()
    from orchestrator.executors.slurm import SlurmExecutor

    return SlurmExecutor()


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
        executor = executor_of(name)
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
        executor_of(name).cancel(handles)
    return sum(map(len, wanted.values()))


def detach(sweep: str, layout: StoreLayout) -> tuple[str, int]:
    """Start the execution of a prepared sweep in the background.

    Returns:
        The job's id, which names its log, and the pid of the process that watches over the workers.
    """
    job_id = f"{sweep}-{uuid.uuid4().hex[:8]}"
    with local_log(layout.job_log(job_id)).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "execute", sweep, "--store", str(layout.root.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return job_id, process.pid
