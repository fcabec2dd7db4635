"""Size and build time of the report of 500 runs (goals: < 15 MB, < 20 s), and how it compares with Plotly's own writer.

The store is made of specs, attempts and parts as workers write them: 500 runs, 38 evaluations, 200 samples each. Timed is
the whole command `tausweep report`. The alternative: the same curves as a figure of Plotly's Python library, written by
its `write_html`, without fits, phase diagram, gallery or tables.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.analysis.runs.curves import RunCurves
from tausweep.storage.attempts.claims import begin_attempt, end_attempt
from tausweep.storage.attempts.records import RetryPolicy
from tausweep.storage.files.records import write_new_record, write_record
from tausweep.storage.layout import StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.tables.part_writer import PartWriter

SIZES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
WIDTHS = (8, 16, 24, 32, 48)


def specs(count: int) -> list[RunSpec]:
    seeds = -(-count // (len(SIZES) * len(WIDTHS)))
    made = [
        RunSpec.from_settings(
            {"data": "digits", "fingerprint": "0123456789abcdef", "n": n, "W": W, "optimizer": "adam", "lr": 1e-3,
             "batch": "min(512, n)", "steps": 20_000, "eval_first": 30, "eval_per_decade": 13, "seed": seed}
        )
        for n in SIZES for W in WIDTHS for seed in range(seeds)
    ]  # fmt: skip
    return made[:count]


def execute(layout: StoreLayout, spec: RunSpec, rng: np.random.Generator) -> None:
    run = layout.run(spec.run_id)
    record = {"run_id": spec.run_id, "p": 280 * spec.model.W**2, "settings": spec.settings()}
    write_new_record(run.spec, record)
    attempt = begin_attempt(
        run, job_id=None, provenance={"code": "made up"}, retries=RetryPolicy(max_attempts=1)
    )
    assert attempt is not None
    writer = PartWriter(run, attempt=attempt.attempt)
    tau = np.array(spec.taus)
    samples, n = spec.evaluation.samples, spec.data.n
    tau_mem = 40 * n * 16 / spec.model.W * np.exp(0.15 * rng.normal())
    u = rng.uniform(size=samples)
    onset = tau_mem * np.exp(0.45 * (np.log(u / (1 - u)) + np.log(9)))
    ratio = np.minimum(0.95, np.sqrt(onset / tau[:, None]) / 3)
    rows = []
    for t in spec.evaluation.loss_t:
        train = 0.3 * tau**-0.2
        rows += [("train_loss", t, s, v) for s, v in zip(tau, train, strict=True)]
        rows += [("test_loss", t, s, v + 0.01 * s / n * 150 / t) for s, v in zip(tau, train, strict=True)]
    fall = 0.4 * (1 + (150 / tau) ** 1.5) * np.exp(0.04 * rng.normal(size=len(tau)))
    rows += [("frechet_pca", None, s, v) for s, v in zip(tau, fall, strict=True)]
    names, ts, steps, values = zip(*rows, strict=True)
    writer.publish(
        "metrics",
        {
            "tau": steps,
            "images_seen": steps,
            "t": ts,
            "metric": names,
            "value": values,
            "wall_time": [1.7e9] * len(rows),
        },
    )
    size = ratio.size
    writer.publish(
        "neighbours",
        {"tau": np.repeat(tau, samples), "sample": np.tile(np.arange(samples), len(tau)), "d1": 2 * ratio.ravel(),
         "d2": np.full(size, 2.0), "nn1": np.zeros(size, int), "nn2": np.ones(size, int)},
    )  # fmt: skip
    writer.publish(
        "samples",
        {
            "tau": [tau[-1]] * 8,
            "sample": range(8),
            "shape": [[1, 8, 8]] * 8,
            "image": rng.random((8, 64)).tolist(),
        },
    )
    end_attempt(
        run,
        attempt.model_copy(
            update={
                "state": "succeeded",
                "tau": int(tau[-1]),
                "resumed_from_tau": 0,
                "ended": attempt.started + 60,
            }
        ),
    )


def make_store(layout: StoreLayout, count: int) -> None:
    rng = np.random.default_rng(0)
    made = specs(count)
    for spec in made:
        execute(layout, spec, rng)
    sweep = {
        "name": "big", "source": "big.yaml", "axes": ["n", "W", "seed"], "run_ids": [spec.run_id for spec in made],
        "resources": {}, "updated": time.time(),
    }  # fmt: skip
    write_record(layout.sweep("big"), sweep)
    compact(layout, sweep["run_ids"])


def plain_plotly(runs: list[RunCurves], out: Path) -> None:
    import plotly.graph_objects as go

    figure = go.Figure()
    for run in runs:
        for curve in (run.f_mem(1 / 3), *run.metrics.values()):
            if curve is not None:
                figure.add_scatter(x=curve.tau, y=curve.value)
    figure.write_html(out)


def clocks() -> np.ndarray:
    """Seconds by the clock, and of CPU time in this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Write the report here.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        layout = StoreLayout(Path(folder) / "store")
        make_store(layout, given.runs)
        from tausweep.orchestrator.api import curves_of

        out, plain = given.keep or Path(folder) / "report.html", Path(folder) / "plain.html"
        command = [
            sys.executable,
            "-m",
            "tausweep",
            "report",
            "big",
            "-o",
            str(out),
            "--store",
            str(layout.root),
        ]
        ours, theirs = [], []
        for _ in range(given.rounds):
            started = clocks()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
            ours.append(clocks() - started)
            started = clocks()
            plain_plotly(curves_of(layout.root, "big"), plain)
            theirs.append(clocks() - started)
        print(f"{given.runs} runs, {len(specs(1)[0].taus)} evaluations each, medians of {given.rounds}")
        print("| | seconds | of CPU time | MB |\n|---|---|---|---|")
        names = (("tausweep report", ours, out), ("the curves alone, by Plotly's write_html", theirs, plain))
        for name, taken, file in names:
            wall, cpu = np.median(taken, axis=0)
            print(f"| {name} | {wall:.1f} | {cpu:.1f} | {file.stat().st_size / 1e6:.1f} |")


if __name__ == "__main__":
    main()
