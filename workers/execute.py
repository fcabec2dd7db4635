"""One attempt of one run, from claim to final record; and the loop of a worker over its runs.

All workers are equal and pull: each goes through its list and takes the runs that no other executes. There is
no queue server; the claim in the run directory decides.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch

from tausweep.jobs.training.loop import train
from tausweep.storage.attempts.claims import begin_attempt, end_attempt
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import AttemptRecord, Claim
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.files.local_copies import growing_log
from tausweep.storage.layout import RunDirectory
from tausweep.storage.maintenance import MERGED_RUNS
from tausweep.workers.checkpointing import CheckpointPolicy
from tausweep.workers.context import AttemptContext
from tausweep.workers.failures import describe
from tausweep.workers.heartbeat import Heartbeat
from tausweep.workers.inputs import open_features, open_images, open_labels, open_spec
from tausweep.workers.options import WorkerOptions
from tausweep.workers.provenance import provenance
from tausweep.workers.ranks.team import Team
from tausweep.workers.stop import StopFlag

_FIRST_POLL_SECONDS, _POLL_SECONDS = (
    0.1,
    2.0,
)  # short runs of others end soon; longer ones are not worth frequent reads
_ALONE = Team()


def work(
    runs: Sequence[RunDirectory],
    stop: StopFlag,
    options: WorkerOptions,
    device: torch.device,
    team: Team = _ALONE,
) -> bool:
    """Execute runs until none is left to do.

    Waits for runs that other workers execute, unless the options say otherwise: if such a worker is preempted
    or lost, this one continues its run.

    Args:
        runs: the runs to execute.
        stop: the flag to stop, read between runs and during them.
        options: how to work.
        device: where to compute.
        team: the ranks that train each run with this process.

    Returns:
        False if the worker was asked to stop or its time was over before all runs were done.
    """
    watch = Watch()
    finished: list[RunDirectory] = []
    open_runs = list(runs)
    pause = _FIRST_POLL_SECONDS
    while open_runs:
        waiting = []
        for run in open_runs:
            if stop.worker_should_stop:
                return False
            status = run_status(run, watch)
            if status.claimable:
                execute(run, stop, options, device, team, watch)
                pause = _FIRST_POLL_SECONDS
                stop.look_at_budget()  # not before the first run: each worker does at least one step
                status = run_status(run, watch)
                finished += [run] if status.state == "succeeded" else []
                if len(finished) >= MERGED_RUNS:
                    _merge_parts(finished)
                    finished.clear()
            if status.waiting or status.state == "running":
                waiting.append(run)
        open_runs = waiting
        if open_runs and not any(run_status(run, watch).claimable for run in open_runs):
            if not options.wait:
                break
            team.idle()
            _wait(pause, stop, options)
            pause = min(2 * pause, _POLL_SECONDS)
    return True


def _merge_parts(runs: Sequence[RunDirectory]) -> None:
    # Loaded here: it loads DuckDB and pandas, and few workers get this far.
    from tausweep.storage.maintenance.compaction import compact_in_passing

    compact_in_passing(runs)


def _wait(seconds: float, stop: StopFlag, options: WorkerOptions) -> None:
    if options.parent is not None and os.getppid() != options.parent:
        stop.stop_worker()
    stop.look_at_budget()
    time.sleep(seconds)


def execute(
    run: RunDirectory,
    stop: StopFlag,
    options: WorkerOptions,
    device: torch.device,
    team: Team = _ALONE,
    watch: Watch | None = None,
) -> None:
    """Claim a run and execute one attempt of it; returns at once if another process was faster.

    Args:
        run: the run directory.
        stop: the flag to stop.
        options: how to work.
        device: where to compute.
        team: the ranks that train the run with this process.
        watch: what this worker has seen of the run's heartbeat.
    """
    team.assemble()
    record = begin_attempt(
        run,
        job_id=options.job_id,
        provenance=provenance(device),
        watch=watch,
        retries=options.retries,
    )
    if record is None:
        return
    stop.next_run()
    with _output_to_log(run, record.attempt):
        _attempt(run, record, stop, options, device, team)


def _attempt(
    run: RunDirectory,
    record: AttemptRecord,
    stop: StopFlag,
    options: WorkerOptions,
    device: torch.device,
    team: Team,
) -> None:
    claim = Claim(attempt=record.attempt, process=record.process)
    heartbeat = Heartbeat(run, claim, stop, seconds=options.heartbeat_seconds, parent=options.parent)
    policy = CheckpointPolicy.of(options)
    context = AttemptContext(run, record, heartbeat, stop, policy=policy)
    ending: dict[str, Any]
    with heartbeat:
        try:
            spec = open_spec(run)
            print(f"run {run.run_id}, attempt {record.attempt}: {spec.settings()}", flush=True)  # noqa: T201
            context.keep = policy.kept(spec)
            for remark in spec.remarks:
                print(remark, flush=True)  # noqa: T201
            images, labels = open_images(run, spec), open_labels(run.store, spec.data)
            features = open_features(run, spec)
            team.begin(run)
            outcome = train(spec, images, context, device, team.ranks, labels=labels, features=features)
            team.done()
            ending = {"state": "succeeded" if outcome.finished else stop.reason}
        except ClaimLostError as error:
            print(error, flush=True)  # noqa: T201
            return
        except KeyboardInterrupt:
            ending = {"state": "preempted"}
        except Exception as error:  # noqa: BLE001 - whatever went wrong in the run belongs in its record
            traceback.print_exc()
            ending = team.cause(describe(error))
    if ending["state"] == "lost_claim":
        return
    print(context.cost_of_saving(), flush=True)  # noqa: T201
    ending |= {"tau": context.tau, "ended": time.time(), "saving_seconds": context.saving_seconds}
    final = context.record.model_copy(update=ending)
    try:
        end_attempt(run, final)
    except ClaimLostError as error:
        print(error, flush=True)  # noqa: T201
    print(f"run {run.run_id}, attempt {record.attempt}: {final.state} at tau = {final.tau}", flush=True)  # noqa: T201


@contextmanager
def _output_to_log(run: RunDirectory, attempt: int) -> Iterator[None]:
    """Redirect all output, including that of C libraries, to the attempt's log while it runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(1), os.dup(2)]
    with growing_log(run.log(attempt)) as log, log.open("a", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            for saved, descriptor in zip(before, (1, 2), strict=True):
                os.dup2(saved, descriptor)
                os.close(saved)
