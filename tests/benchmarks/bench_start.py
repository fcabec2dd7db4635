"""What a worker costs until its first step: CPU and wall seconds and peak memory, now and at an earlier commit, in turns.

    python -m tests.benchmarks.bench_start [--against COMMIT] [--turns N]

Each turn starts the worker of the earlier commit and then ours on a tiny run on digits, of the U-Net and of the MLP, and
stops it after its first optimiser update. The earlier commit is checked out aside, and runs in the same environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.plan.plan import make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.layout import StoreLayout

BEFORE = "8642dcce34da930d00cf40c995456091d05f9827"
"""The commit before workers were made to start quickly."""

MODELS = {"unet": "W: 8, multipliers: [1, 2]", "mlp": "model: mlp, W: 8, blocks: 1"}
SWEEP = """
name: start
settings: {{data: digits, {model}, batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2, samples: 12, ddim_steps: 1,
           loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: {seeds}}}
"""
UNTIL_FIRST_STEP = """
import json, os, resource, runpy, sys, time
began = time.perf_counter()
from torch.optim.optimizer import register_optimizer_step_post_hook
def report(*_):
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    values = {"cpu": cpu, "wall": time.perf_counter() - began, "MiB": own.ru_maxrss / 1024}
    with open(os.environ["REPORT"], "w") as file:
        json.dump(values, file)
    os._exit(0)
register_optimizer_step_post_hook(report)
runpy.run_module("tausweep.workers", run_name="__main__", alter_sys=True)
"""
REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the sources of an earlier commit."""
    with tempfile.TemporaryDirectory() as name:
        before = Path(name) / "before"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(before), commit], check=True)
        try:
            yield before
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)


def run_directories(folder: Path, model: str, count: int) -> list[str]:
    file = folder / f"{model}.yaml"
    file.write_text(SWEEP.format(model=MODELS[model], seeds=list(range(count))))
    layout = StoreLayout(folder / model)
    plan = make_plan(read_sweep(file), layout)
    prepare(plan, layout)
    return [str(layout.run(run.run_id).path) for run in plan.runs]


def start(sources: Path, run: str, report: Path) -> dict[str, float]:
    """CPU and wall seconds and MiB of a worker from its start to its first optimiser update."""
    environment = os.environ | {
        "PYTHONPATH": str(sources / "src"),
        "REPORT": str(report),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, "-P", "-c", UNTIL_FIRST_STEP, run], check=True, env=environment)
    return json.loads(report.read_text())


def compare(folder: Path, before: Path, turns: int) -> None:
    for model in MODELS:
        runs = iter(run_directories(folder, model, 2 * turns + 2))
        measured: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
        for turn in range(turns + 1):
            for name, sources in (("before", before), ("now", REPOSITORY)):
                values = start(sources, next(runs), folder / "report.json")
                if turn:  # the first only warms the disk's cache
                    measured[name].append(values)
        for unit in ("cpu", "wall", "MiB"):
            old, new = (statistics.median(turn[unit] for turn in measured[name]) for name in measured)
            print(f"{model:5} {unit:5} before {old:7.2f}  now {new:7.2f}  ratio {new / old:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, checked_out(options.against) as before:
        compare(Path(name), before, options.turns)


if __name__ == "__main__":
    main()
