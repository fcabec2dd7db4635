"""What a run costs besides its training: in a worker that keeps torch loaded, against a process for each run.

    python -m tests.benchmarks.bench_worker

The runs are real and as small as they get: two steps and one evaluation of a U-Net with W = 4.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.plan.plan import Plan, make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.layout import StoreLayout

RUNS = 12
SWEEP = f"""
name: startup
settings: {{data: digits, W: 4, multipliers: [1, 1], batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2,
           samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: {list(range(RUNS))}}}
"""


def fresh(folder: Path, name: str) -> tuple[Plan, StoreLayout]:
    file = folder / f"{name}.yaml"
    file.write_text(SWEEP)
    layout = StoreLayout(folder / name)
    plan = make_plan(read_sweep(file), layout)
    prepare(plan, layout)
    return plan, layout


def worker(layout: StoreLayout, run_ids: list[str]) -> float:
    started = time.perf_counter()
    directories = [str(layout.run(run_id).path) for run_id in run_ids]
    subprocess.run([sys.executable, "-m", "tausweep.workers", *directories], check=True)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan, layout = fresh(folder, "one-worker")
        ids = [run.run_id for run in plan.runs]
        together = worker(layout, ids)
        plan, layout = fresh(folder, "a-process-each")
        alone = [worker(layout, [run_id]) for run_id in ids]
        each = statistics.median(alone)
        in_worker = (together - each) / (RUNS - 1)
        print(f"{RUNS} runs in one worker: {together:.1f} s; a process for each: {sum(alone):.1f} s")
        print(
            f"a run in a worker that has torch loaded: {in_worker:.2f} s; in a process of its own: {each:.2f} s"
        )
        print(f"ratio: {each / in_worker:.1f}")


if __name__ == "__main__":
    main()
