"""Submitting without staying: a process of its own that resumes the sweep, its output in the store."""

from __future__ import annotations

import subprocess
import sys
import uuid

from orchestrator.executors.base import Handle
from orchestrator.executors.local import LocalExecutor
from storage.atomic import read_record
from storage.errors import InputError, nearest
from storage.layout import RunDirectory, StoreLayout
from storage.local_files import local_log
from storage.objects import location

EXECUTORS = ("local", "slurm", "ray")
_AVAILABLE = ("local",)


def require_executor(name: str) -> None:
    """Check the name of an executor.

    Raises:
        InputError: there is none of this name, or it can't be used yet.
    """
    if name not in EXECUTORS:
        raise InputError(f"--executor {name}: {nearest(name, EXECUTORS)}")
    if name not in _AVAILABLE:
        raise InputError(
            f"--executor {name}: not available in this version; use --executor local. Nothing was submitted"
        )


def submitted_runs(sweep: str, layout: StoreLayout) -> set[str]:
    """Ids of runs that a living job of a sweep was given, whether it has begun them or not."""
    found: set[str] = set()
    for job_id in layout.job_ids():
        try:
            given = layout.job_runs(job_id).read_text().splitlines()
        except FileNotFoundError:  # removed when the job has ended
            continue
        record = read_record(layout.job(job_id), "sweep", "executor", "details")
        handle = Handle(executor=record["executor"], job_id=job_id, details=record["details"])
        if record["sweep"] == sweep and LocalExecutor().alive([handle]) != [False]:
            found |= {RunDirectory(location(line)).run_id for line in given}
    return found


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
