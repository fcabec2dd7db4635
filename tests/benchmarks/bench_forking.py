"""What forked workers save on this machine, against the workers of an earlier commit, in turns.

    python -m tests.benchmarks.bench_forking [--against COMMIT] [--turns N]

Seconds from the loss of a worker until another trains, memory of two workers that train (with the process that forks
them, shared pages counted once), and the wall time of `tausweep run` for forty runs of ten steps by two workers.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tausweep.storage.attempts.records import AttemptRecord, last_attempt
from tausweep.storage.layout import StoreLayout
from tests.benchmarks.bench_start import BEFORE, REPOSITORY, checked_out
from tests.waiting import wait_for

SWEEP = """
name: forking
settings: {{data: digits, W: 8, multipliers: [1, 2], batch: 4, lr: 1e-3, n: 4, steps: {steps}, eval_first: 10,
           eval_per_decade: 1, samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: {seeds}}}
resources: {{workers: 2, heartbeat_seconds: 0.2}}
"""
LONG, SHORT = 100_000, 10


def start(sources: Path, folder: Path, *, steps: int, runs: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    file = folder / "forking.yaml"
    file.write_text(SWEEP.format(steps=steps, seeds=list(range(runs))))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tausweep", "run", str(file), "--store", str(folder / "runs")],
        env=os.environ | {"PYTHONPATH": str(sources / "src")},
        stdout=subprocess.DEVNULL,
    )


def forty_runs(sources: Path, folder: Path) -> float:
    """Wall seconds of `tausweep run` for forty runs of ten steps."""
    began = time.perf_counter()
    assert start(sources, folder, steps=SHORT, runs=40).wait() == 0
    return time.perf_counter() - began


def in_training(layout: StoreLayout) -> dict[int, AttemptRecord]:
    """Attempts that are past the reading of a checkpoint, and so at their first step, by the pid of their worker."""
    records = [record for i in layout.run_ids() if (record := last_attempt(layout.run(i))) is not None]
    training = [
        record for record in records if record.state == "running" and record.resumed_from_tau is not None
    ]
    return {record.process.pid: record for record in training}


def megabytes(process: psutil.Process) -> float:
    """Memory of all that a process has started, each shared page counted once."""
    return sum(child.memory_full_info().pss for child in process.children(recursive=True)) / 2**20


def lost_worker(sources: Path, folder: Path) -> dict[str, float]:
    """MiB of two workers that train, and seconds from the loss of one until another trains."""
    layout = StoreLayout(folder / "runs")
    process = start(sources, folder, steps=LONG, runs=6)
    try:
        wait_for(lambda: len(in_training(layout)) == 2)
        time.sleep(3)
        memory = max(megabytes(psutil.Process(process.pid)) for _ in range(10))
        known = set(in_training(layout))
        began = time.perf_counter()
        os.kill(min(known), signal.SIGKILL)
        wait_for(lambda: set(in_training(layout)) - known, every=0.005)
        return {"MiB of two workers": memory, "s until the next trains": time.perf_counter() - began}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as name, checked_out(options.against) as before:
        for turn in range(options.turns):
            for way, sources in (("before", before), ("now", REPOSITORY)):
                values = lost_worker(sources, Path(name) / f"lost-{way}-{turn}")
                values["s of forty runs"] = forty_runs(sources, Path(name) / f"forty-{way}-{turn}")
                measured[way].append(values)
    for unit in measured["now"][0]:
        old, new = (statistics.median(turn[unit] for turn in measured[way]) for way in measured)
        print(f"{unit:25} before {old:8.2f}  now {new:8.2f}  ratio {new / old:.2f}")


if __name__ == "__main__":
    main()
