"""Small real sweeps to be disturbed, and what is compared afterwards.

Used by the tests here and by `make faults`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil

from tausweep.jobs.spec.run_spec import stored_spec
from tausweep.storage.attempts.records import read_attempt
from tausweep.storage.files.failpoints import VARIABLE
from tausweep.storage.layout import StoreLayout
from tausweep.storage.maintenance.verification import check
from tests.integration.tiny_sweep import run_command, science

SWEEP = """
name: faulty
experiment: diffusion
settings:
  data: digits
  multipliers: [1, 1]
  batch: 4
  steps: {steps}
  dropout: 0.3
  eval_first: 10
  eval_per_decade: 8
  samples: 6
  ddim_steps: 2
  loss_pairs: 8
  frechet_dims: 3
  gallery: 2
  pixel_scale: 2
grid:
  n: [4]
  W: [4]
  optimizer: [adam, sgd]
  seed: [0]
when:
  optimizer=adam: {{lr: 4e-3}}
  optimizer=sgd: {{lr: 0.02, clip: 1}}
resources: {{workers: {workers}, processes: {processes}, heartbeat_seconds: 0.2, checkpoint_steps: 8,
  max_attempts: 1000, retry_seconds: 0}}
"""
TABLES = ("metrics", "neighbours", "samples")
Science = dict[str, list[dict[str, object]]]


def write_sweep(folder: Path, *, steps: int = 120, workers: int = 2, processes: int = 1) -> Path:
    """Write the file of a sweep of two runs, one trained with Adam and one with SGD, both with dropout."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "faulty.yaml"
    path.write_text(SWEEP.format(steps=steps, workers=workers, processes=processes))
    return path


def undisturbed(folder: Path, *, processes: int = 1) -> Path:
    """A store in which nothing disturbed the sweep."""
    file = write_sweep(folder, workers=2 // processes, processes=processes)
    run_command("run", file, store=folder / "undisturbed")
    return folder / "undisturbed"


def start(
    *arguments: str | Path, store: Path, order: Path | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a command and return at once; what it prints is appended to a file beside the store.

    Args:
        arguments: of `tausweep`.
        store: where it works.
        order: file by which fail-points are ordered, of this process and all that it starts.
        prefix: command that starts the command.
    """
    told = {} if order is None else {VARIABLE: str(order)}
    with store.with_name(f"{store.name}.log").open("ab") as output:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "tausweep", *map(str, arguments), "--store", str(store)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | told,
        )


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes, or the ranks, that a process has started."""
    try:
        children = process.children()
        servers = [child for child in children if "tausweep.workers.fork_server" in child.cmdline()]
        forked = [worker for server in servers for worker in server.children()]
        return forked + [child for child in children if "tausweep.workers" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def findings(store: Path) -> list[str]:
    """What `store check` finds."""
    return [f"{f.kind}: {f.path}: {f.message}" for f in check(StoreLayout(store), stored_spec)]


def attempts(store: Path) -> int:
    """Attempts of all runs; raises if two of one run overlap, each being dated by the one machine's clock."""
    layout = StoreLayout(store)
    count = 0
    for run_id in layout.run_ids():
        run = layout.run(run_id)
        records = [read_attempt(run, number) for number in run.attempt_numbers()]
        for one, next_one in pairwise(records):
            assert one.ended is not None, f"{run_id}: attempt {one.attempt} has no end"
            assert one.ended <= next_one.started, f"{run_id}: attempt {one.attempt} overlaps the next"
        count += len(records)
    return count


def differences(store: Path, expected: Science) -> list[str]:
    """In what a store differs from the undisturbed one, and what `store check` finds; empty if all is well."""
    found = findings(store)
    seen = science(store)
    for table in TABLES:
        if seen[table] != expected[table]:
            found.append(
                f"{table}: {len(seen[table])} rows, {len(expected[table])} in the undisturbed store, not equal"
            )
    return found
