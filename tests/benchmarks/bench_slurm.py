"""Planning and submitting ten thousand runs to SLURM, against plain submitit `map_array` on the same cluster.

    python -m tests.benchmarks.bench_slurm [--runs 10000] [--runs-per-job 100]

Needs a SLURM that takes the jobs; deploy/slurm/dev-cluster is one. The jobs are submitted held, and cancelled at once:
what is measured is what a user waits for. Plain submitit is given a function and a dictionary of settings for each run,
once as many to an array task as tausweep, once a task each where the site's limits allow that.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import submitit

from tausweep.orchestrator.executors.slurm.queue import limits
from tausweep.storage.layout import StoreLayout

SWEEP = """
name: many
settings: {{data: digits, W: 4, multipliers: [1, 1], batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2,
           samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: [{seeds}]}}
resources: {{slurm: {{time: "10", runs_per_job: {runs_per_job}, sbatch: {{hold: true}}}}}}
"""
ROUNDS = 3


def train(settings: Sequence[dict[str, object]]) -> None:
    """What plain submitit would run; it never starts."""


def ours(folder: Path, runs: int, runs_per_job: int) -> str:
    """Plan and submit by the command line; what it said of its questions to SLURM."""
    file = folder / "many.yaml"
    seeds = ", ".join(map(str, range(runs)))
    file.write_text(SWEEP.format(seeds=seeds, runs_per_job=runs_per_job))
    command = [sys.executable, "-m", "tausweep", "submit", str(file), "--executor", "slurm"]
    done = subprocess.run(
        [*command, "--store", str(folder / "store")], check=True, capture_output=True, text=True
    )
    layout = StoreLayout(folder / "store")
    given = [line for path in layout.jobs.glob("*.runs") for line in path.read_text().splitlines()]
    assert len(given) == len(set(given)) == runs, done.stdout
    return next(line for line in done.stdout.splitlines() if line.startswith("calls of SLURM"))


def plain(folder: Path, runs: int, runs_per_job: int) -> str:
    """Submit by plain submitit, cut by hand at the site's array limit; how often sbatch was called."""
    executor = submitit.SlurmExecutor(folder=folder / "plain")
    executor.update_parameters(time=10, additional_parameters={"hold": True}, wckey=None)
    everything = [{"n": 4, "W": 4, "lr": 1e-3, "steps": 2, "seed": seed} for seed in range(runs)]
    tasks = [everything[start : start + runs_per_job] for start in range(0, runs, runs_per_job)]
    size = limits().array_tasks
    for start in range(0, len(tasks), size):
        executor.map_array(train, tasks[start : start + size])
    return f"sbatch {-(-len(tasks) // size)}"


def timed(submit: Callable[[Path, int, int], str], runs: int, runs_per_job: int) -> tuple[float, str]:
    folder = Path(tempfile.mkdtemp())
    try:
        started = time.perf_counter()
        told = submit(folder, runs, runs_per_job)
        return time.perf_counter() - started, told
    finally:
        subprocess.run(["scancel", "--me"], check=True)
        shutil.rmtree(folder)
        while subprocess.run(["squeue", "--me", "-h"], capture_output=True, check=True).stdout:
            time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--runs-per-job", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs, size = options.runs, options.runs_per_job
    contenders: dict[str, tuple[Callable[[Path, int, int], str], int]] = {
        f"tausweep, {size} runs a task": (ours, size),
        f"submitit, {size} runs a task": (plain, size),
    }
    room = limits().jobs
    if room is None or room >= runs:
        contenders["submitit, a task a run"] = (plain, 1)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, (submit, each) in contenders.items():
            took, told = timed(submit, runs, each)
            seconds[name].append(took)
            print(f"{name}: {took:.1f} s; {told}", flush=True)
    best = {name: sorted(took)[ROUNDS // 2] for name, took in seconds.items()}
    first = next(iter(best.values()))
    for name, median in best.items():
        print(f"{name}: median {median:.1f} s for {runs} runs, {median / first:.2f} of tausweep's")
    if options.json:
        options.json.write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    main()
