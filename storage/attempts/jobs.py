"""What the store keeps of a job: its record, and the listing of the runs it executes.

The listing exists until the job's end is noted. `details` belongs to the executor, which needs it to find the
job again, and is kept as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tausweep.storage.attempts.records import load
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.object_store import location
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import RunDirectory, StoreLayout


class JobRecord(BaseModel):
    """A job: `jobs/<job_id>.json`. Written once the executor has accepted it.

    Attributes:
        sweep: name of the sweep whose runs it executes.
        executor: name of the executor.
        submitted: seconds since 1970-01-01 UTC.
        details: the executor's own data, as JSON values; `output` is a file that the scheduler keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep: str
    submitted: float
    executor: str
    job_id: str
    details: dict[str, Any]

    @property
    def output(self) -> Path | None:
        """The scheduler's file with the job's output from before the worker started.

        None if there is none.
        """
        output = self.details.get("output")
        return Path(output) if output else None


def write_job(layout: StoreLayout, record: JobRecord) -> None:
    """Write or replace the record of a job."""
    write_record(layout.job(record.job_id), record.model_dump(mode="json"))


def read_job(layout: StoreLayout, job_id: str) -> JobRecord:
    """Read the record of a job.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `read_record`.
    """
    return load(JobRecord, layout.job(job_id))


def list_runs(layout: StoreLayout, job_id: str, runs: Iterable[RunDirectory]) -> None:
    """Write which runs a job executes. Called before it is submitted, since it may begin at once."""
    listing = "".join(f"{run.path.resolve()}\n" for run in runs).encode()
    publish(layout.job_runs(job_id), lambda file: file.write(listing))


def listed_runs(layout: StoreLayout, job_id: str) -> list[RunDirectory] | None:
    """The runs of a job; None if it is known to have ended."""
    try:
        text = layout.job_runs(job_id).read_text()
    except FileNotFoundError:
        return None
    return [RunDirectory(location(line)) for line in text.splitlines()]


def end_job(layout: StoreLayout, job_id: str) -> None:
    """Note that a job has ended or was never accepted. Its runs are free.

    If it begins after all, it does nothing.
    """
    layout.job_runs(job_id).unlink(missing_ok=True)


def jobs_not_ended(layout: StoreLayout) -> Iterator[tuple[JobRecord, list[RunDirectory]]]:
    """The jobs whose end has not been noted, with their runs."""
    for job_id in layout.job_ids():
        runs = listed_runs(layout, job_id)
        if runs is not None:
            yield read_job(layout, job_id), runs
