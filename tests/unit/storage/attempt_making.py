"""Attempt records as workers on this and on other machines write them, for the tests of this folder."""

from __future__ import annotations

import os
import time

from tausweep.storage.attempts.claims import begin_attempt
from tausweep.storage.attempts.liveness import LEASE_SECONDS, Watch
from tausweep.storage.attempts.records import AttemptRecord, Process, RetryPolicy, write_attempt

ELSEWHERE = Process(host="another-host", pid=1, started=0.0, namespace="pid:[1]")
METRIC = {
    "tau": [1],
    "images_seen": [1],
    "t": [None],
    "metric": ["f_mem"],
    "value": [0.0],
    "wall_time": [0.0],
}


def begin(run, **options):
    """A worker's claim on the run."""
    return begin_attempt(run, job_id=None, provenance={}, **options)


AT_ONCE = RetryPolicy(retry_seconds=0)
LISTENED = Watch(lease=0)
"""A watch that has listened long enough: whatever it looks at was silent for the lease."""


def record(run, number=1, *, process=ELSEWHERE, **fields):
    """Write an attempt's record as a worker on another machine would."""
    made = AttemptRecord(attempt=number, started=time.time(), process=process, **fields)
    write_attempt(run, made)
    return made


def age(path, seconds=LEASE_SECONDS + 1):
    """Let a file's last change lie in the past."""
    then = time.time() - seconds
    os.utime(path, (then, then))
