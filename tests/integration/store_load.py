"""Processes that write to a store, or compact it, until their time is over.

Started by `test_store_under_load`. A writer says a JSON line for each attempt that it began and each part that was
acknowledged; a run that another process executes it takes over now and then, as if the heartbeat had stopped.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tausweep.storage.attempts.claims import beat, begin_attempt, end_attempt, require_ownership
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import (
    AttemptRecord,
    Claim,
    RetryPolicy,
    last_attempt,
    read_claim,
    write_attempt,
)
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.tables.part_writer import PartWriter

COMPACTION_SECONDS = 1.0
AT_ONCE = RetryPolicy(max_attempts=1_000_000, retry_seconds=0)


def value_of(attempt: int, tau: int) -> float:
    """The value that an attempt measures at tau: no two attempts measure the same."""
    return attempt * 1e6 + tau


def say(**line: object) -> None:
    """One line, at once."""
    print(json.dumps(line), flush=True)


def write(store: StoreLayout, until: float, chance: random.Random) -> None:
    """Execute runs, any that can be had."""
    while time.monotonic() < until:
        run = store.run(chance.choice(store.run_ids()))
        record, tau = take(run, chance)
        if record is None:
            time.sleep(0.002)
            continue
        try:
            execute(run, record, tau, until, chance)
        except ClaimLostError:
            continue


def take(run: RunDirectory, chance: random.Random) -> tuple[AttemptRecord | None, int]:
    """The next attempt of a run, and the tau it resumes from; a run that goes or has succeeded is mostly left alone."""
    previous, known = last_attempt(run), 0
    if previous is not None:
        if previous.resumed_from_tau is None:
            return None, 0  # nobody is taken for dead so soon
        if chance.random() < (0.9 if previous.state in ("running", "succeeded") else 0.2):
            return None, 0
        claim = read_claim(run)
        beaten = claim.tau if claim is not None and claim.attempt == previous.attempt else 0
        known = max(previous.tau or 0, previous.resumed_from_tau, beaten)
        if previous.state != "running":
            write_attempt(run, previous.model_copy(update={"retry": True}))
    # As if a running attempt had not been heard of for long.
    record = begin_attempt(run, job_id=None, provenance={}, watch=Watch(lease=0), retries=AT_ONCE)
    if record is not None and previous is not None and record.attempt != previous.attempt + 1:
        # The attempt before this one began after we had looked, and may have recorded where it resumes without having
        # said so: only 0 is surely not later than that.
        return record, 0
    return record, max(0, known - chance.randrange(4))


def execute(run: RunDirectory, record: AttemptRecord, tau: int, until: float, chance: random.Random) -> None:
    """Publish some parts, each after the last, and end."""
    record = record.model_copy(update={"resumed_from_tau": tau})
    require_ownership(run, record.attempt)
    write_attempt(run, record)
    require_ownership(run, record.attempt)
    say(run=run.run_id, attempt=record.attempt, resumed=tau)
    writer = PartWriter(run, attempt=record.attempt)
    for _ in range(chance.randrange(30)):
        taus = list(range(tau + 1, tau + 1 + chance.randrange(1, 6)))
        values = [value_of(record.attempt, tau) for tau in taus]
        count = len(taus)
        columns = {
            "tau": taus,
            "images_seen": [0] * count,
            "t": [None] * count,
            "metric": ["f_mem"] * count,
            "value": values,
            "wall_time": [0.0] * count,
        }
        writer.publish("metrics", columns)
        say(run=run.run_id, attempt=record.attempt, taus=taus)
        tau = taus[-1]
        beat(run, Claim(attempt=record.attempt, process=record.process, tau=tau))
        if time.monotonic() > until:
            break
    state = chance.choice(["succeeded", "succeeded", "failed", "preempted"])
    end_attempt(run, record.model_copy(update={"state": state, "tau": tau, "ended": time.time()}))


def compact_again_and_again(store: StoreLayout, until: float, chance: random.Random) -> None:
    """Merge what has succeeded."""
    while time.monotonic() < until:
        for done in compact(store):
            say(files=done.files, parts=done.parts)
        time.sleep(chance.random() * COMPACTION_SECONDS)


Role = Callable[[StoreLayout, float, random.Random], None]


def begin_together(role: Role, root: Path, seconds: float, seed: int, said: Path, barrier: Barrier) -> None:
    """What a process does: wait for the others, then play its role for so long."""
    with said.open("w") as out, redirect_stdout(out):
        barrier.wait()
        role(StoreLayout(root), time.monotonic() + seconds, random.Random(seed))
