"""Jobs of a scheduler that have ended: its word is kept with their attempts; jobs without an attempt are reported.

Called by whoever feeds the scheduler; commands that only look change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tausweep.orchestrator.executors.job_records import GivenJob
from tausweep.storage.attempts.claims import lost
from tausweep.storage.attempts.jobs import end_job
from tausweep.storage.attempts.liveness import is_live
from tausweep.storage.attempts.records import last_attempt, write_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import RunDirectory, StoreLayout

_TAIL = 1500  # characters of a log
_CANCELLED = ("CANCELLED", "STOPPED")  # in the words of SLURM and of Ray


def note_ended(jobs: Iterable[GivenJob], layout: StoreLayout) -> list[GivenJob]:
    """Keep the scheduler's word on jobs that have ended, and forget which runs they were given.

    Returns:
        Jobs that ended without starting a run they should have started.
    """
    idle = []
    for job in jobs:
        if job.alive is not False:
            continue
        begun = [_note(job, layout.run(run_id)) for run_id in job.run_ids]
        if "silent" in begun:  # its worker may live although its job does not: looked at again next time
            continue
        # A worker of this machine needs no explanation: whoever started it watched over it, or was killed with it.
        explained = not job.supervised and not (job.word or "").startswith(_CANCELLED)
        if explained and not any(begun) and any(_waits(layout, run_id) for run_id in job.run_ids):
            idle.append(job)
        end_job(layout, job.handle.job_id)
    return idle


def what_happened(job: GivenJob) -> str:
    """A job that started no run, in words, with the end of its output."""
    state = f" as {job.word}" if job.word else ""
    end = f"job {job.name} ended{state} before it started a run"
    if job.output is None:  # with Ray, where the store has no files to write to
        return end
    printed = job.output.read_text(errors="replace")[-_TAIL:].strip() if job.output.exists() else ""
    return f"{end}; see {job.output}\n{printed}".rstrip()


def _note(job: GivenJob, run: RunDirectory) -> Literal["", "ended", "silent"]:
    """What an ended job did with a run: nothing, an attempt that has ended, or one of which that is not known yet."""
    record = last_attempt(run)
    if record is None or record.job_id != job.handle.job_id:
        return ""
    if record.state == "running":
        if is_live(run, record):
            return "silent"
        record = lost(run, record)
    elif job.word is None or record.scheduler_state == job.word:
        return "ended"
    write_attempt(run, record.model_copy(update={"scheduler_state": job.word}))
    return "ended"


def _waits(layout: StoreLayout, run_id: str) -> bool:
    return run_status(layout.run(run_id)).waiting
