"""An element of a SLURM array: runs the worker, forwards signals, and is requeued if there is more to do.

Started by submitit on a compute node, where there may be no internet, no `scontrol` and no torch outside of a
container. A requeued job reads the store again and keeps only its command line.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tausweep.orchestrator.executors.slurm.array import SlurmDetails, submit_array
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.jobs import listed_runs, read_job, write_job
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import TausweepError
from tausweep.storage.layout import StoreLayout
from tausweep.workers.stop import EXIT_REQUEUE

_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
_ENDS = (signal.SIGTERM, signal.SIGINT)
_KILLED_WITHIN_SECONDS = 3600.0
_PORTS = range(20_000, 60_000)


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A job as submitit pickles it.

    Attributes:
        store: path of the store.
        job_id: names the job's record, listing and log in the store.
        command: the worker's command line.
        seconds: how long the worker may run, from the job's start.
        ranks: processes over several nodes that train a run together, one in each task of the job step.
    """

    store: str
    job_id: str
    command: tuple[str, ...]
    seconds: float
    ranks: int

    def __call__(self) -> None:
        """Run the worker until its end.

        Raises:
            SystemExit: with the worker's exit code, if that is not 0 and the job is not requeued.
        """
        layout = StoreLayout(Path(self.store))
        if not layout.jobs.is_dir():
            raise SystemExit(
                f"{self.store}: this node does not see the store; use a folder that all nodes share"
            )
        if not self._something_to_do(layout):
            print(f"job {self.job_id}: nothing left to do", flush=True)  # noqa: T201
            return
        code, ended_by = self._run(layout)
        print(f"job {self.job_id}: worker ended with {code}", flush=True)  # noqa: T201
        if code == EXIT_REQUEUE and _leads() and self._something_to_do(layout):
            _requeue(self, ended_by)
        elif code:
            raise SystemExit(code if code > 0 else 128 - code)

    def _something_to_do(self, layout: StoreLayout) -> bool:
        runs = listed_runs(layout, self.job_id)
        if runs is None:  # the job was ended while it waited
            return False
        return any((status := run_status(run)).waiting or status.state == "running" for run in runs)

    def _run(self, layout: StoreLayout) -> tuple[int, int | None]:
        """Run the worker; return its exit code and the signal that requested its end."""
        began = time.monotonic()
        received: list[int] = []
        worker: subprocess.Popen[bytes] | None = None

        def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
            received.append(number)
            if worker is not None and worker.poll() is None:
                worker.send_signal(signal.SIGTERM)

        for number in (*_WARNINGS, *_ENDS):
            signal.signal(number, pass_on)
        left = max(1.0, self.seconds - (time.monotonic() - began))
        with ExitStack() as stack:
            # One writer per file: other ranks, perhaps on other nodes, print into the files that srun keeps
            # for each.
            output = stack.enter_context(layout.job_log(self.job_id).open("ab")) if _leads() else None
            worker = subprocess.Popen(
                [*self.command, "--wall-seconds", f"{left:.0f}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env=self._environment(),
                start_new_session=True,  # signals of the job step reach only this process, which forwards them once
            )
            if received:  # before the worker existed
                worker.send_signal(signal.SIGTERM)
            code = worker.wait()
        if received and -code in (*_WARNINGS, *_ENDS):  # it came before the worker could handle it
            code = EXIT_REQUEUE
        return code, received[0] if received else None

    def _environment(self) -> dict[str, str]:
        """The worker's environment: one rank of several finds its place in torchrun's variables."""
        environment = dict(os.environ)
        if self.ranks == 1:
            return environment
        number = environment["SLURM_JOB_ID"] + environment.get("SLURM_RESTART_COUNT", "0")
        return environment | {
            "RANK": environment["SLURM_PROCID"],
            "WORLD_SIZE": environment["SLURM_NTASKS"],
            "LOCAL_RANK": environment["SLURM_LOCALID"],
            # The batch script runs on the first node.
            "MASTER_ADDR": environment["SLURM_LAUNCH_NODE_IPADDR"],
            "MASTER_PORT": str(_PORTS[int(number) % len(_PORTS)]),
        }


def _leads() -> bool:
    return os.environ.get("SLURM_PROCID", "0") == "0"


def _requeue(job: SlurmJob, ended_by: int | None) -> None:
    """Make the job go on: by a requeue or, where that is not possible, by a new job in its place.

    Raises:
        SystemExit: that is not wanted, or not possible.
    """
    slurm_id = _slurm_id()
    asks = shutil.which("scontrol") is not None
    if ended_by in _ENDS:
        # A job that ends by itself while it is being preempted, and still counts as running, is not requeued
        # by SLURM. One that is COMPLETING was cancelled, and would come back to life, or is requeued already.
        if not asks:
            # SLURM kills and requeues it, or only kills it if it was cancelled.
            time.sleep(_KILLED_WITHIN_SECONDS)
        if _state(slurm_id) != "RUNNING":
            raise SystemExit(128 + signal.SIGTERM)
    if asks:
        done = subprocess.run(
            ["scontrol", "requeue", slurm_id], capture_output=True, text=True, check=False, timeout=60
        )
        # When the requeue takes effect, SLURM ends this job's processes, including the one that requested it.
        killed = done.returncode < 0 and _state(slurm_id) != "RUNNING"
        if done.returncode == 0 or killed or "pending execution" in done.stderr:
            return
        print(f"scontrol requeue: {done.stderr.strip()}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        _follow_up(job)
    except TausweepError as error:
        words = f"job {job.job_id} is not requeued: {error}; `tausweep resume` continues its runs"
        print(words, file=sys.stderr)  # noqa: T201
        raise SystemExit(EXIT_REQUEUE) from error


def _slurm_id() -> str:
    """This job's id; the plain id of an array's last element would mean the whole array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]


def _state(slurm_id: str) -> str | None:
    done = subprocess.run(
        ["scontrol", "--oneliner", "show", "job", slurm_id],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    match = re.search(r"JobState=(\w+)", done.stdout)
    return match[1] if match else None


def _follow_up(job: SlurmJob) -> None:
    """Submit the job again in its own place, and let the record name the successor."""
    from submitit.helpers import clean_env

    layout = StoreLayout(Path(job.store))
    record = read_job(layout, job.job_id)
    resources = Resources.parse(SlurmDetails.model_validate(record.details).resources)
    configuration = os.environ.get("SLURM_CONF")
    with clean_env():  # the environment of this job must not determine the next one
        if configuration is not None:
            os.environ["SLURM_CONF"] = configuration
        details = submit_array([job], resources)[0]
    write_job(layout, record.model_copy(update={"details": details.model_dump()}))
    print(f"job {job.job_id}: continues as {details.slurm_id}", flush=True)  # noqa: T201
