"""Submitting without staying: a process of its own that resumes the sweep, its output in the store."""

from __future__ import annotations

import subprocess
import sys
import uuid

from storage.errors import InputError, nearest
from storage.layout import StoreLayout

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


def detach(sweep: str, layout: StoreLayout) -> tuple[str, int]:
    """Start the execution of a prepared sweep in the background.

    Returns:
        The job's id, which names its log, and the pid of the process that watches over the workers.
    """
    job_id = f"{sweep}-{uuid.uuid4().hex[:8]}"
    log = layout.job_log(job_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "execute", sweep, "--store", str(layout.root.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return job_id, process.pid
