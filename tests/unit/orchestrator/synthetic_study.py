"""A study with planted timescales, as the tables that the store would give: for the tests of resolver and figures.

f_mem reaches 0.1 at c · n^a · exp(noise of the seed) with noise of the samples on top, the loss gap reaches 0.1 at
10 · n, and frechet_pca falls to its plateau at a tau that does not depend on n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tausweep.orchestrator.analysis import tables as analysis_tables
from tausweep.orchestrator.analysis.resolver import fit_sweep
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.figures.gallery import KeptImages
from tausweep.orchestrator.figures.study import Study
from tausweep.storage.tables.schemas import METRICS, NEIGHBOURS, SAMPLES

WIDTH = 0.45  # of the rise of f_mem in ln tau


@dataclass(frozen=True, kw_only=True)
class Tables:
    runs: pa.Table
    metrics: pa.Table
    neighbours: pa.Table
    samples: pa.Table

    @property
    def measured(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        return self.runs, self.metrics, self.neighbours


def resolved(tables: Tables, *, sweep="synthetic", **options) -> Study:
    """Tables as those who draw get them; options as of `ResolverOptions`."""
    chosen = ResolverOptions(**{"draws": 50, **options})
    measured = analysis_tables.Tables(*tables.measured).measured(chosen.k)
    return Study(result=fit_sweep(sweep, tables.runs, measured, chosen), measured=measured)


def kept(tables: Tables, images=None) -> KeptImages:
    return KeptImages(
        samples=tables.samples, neighbours=tables.neighbours, train_images=images or training_images
    )


def taus(steps: int, *, first: int = 30, per_decade: int = 8) -> np.ndarray:
    grid = np.round(first * 10 ** (np.arange(100) / per_decade)).astype(np.int64)
    return np.unique(np.append(grid[grid < steps], steps))


def study(
    *,
    n_values=(16, 32, 64, 128),
    seeds=(0, 1, 2),
    widths=(16,),
    optimizers=("adam",),
    exponent=1.0,
    prefactor=40.0,
    seed_noise=0.1,
    steps=20_000,
    samples=200,
    frechet=True,
    state="succeeded",
    rng_seed=0,
    **settings,
) -> Tables:
    """Tables of the grid n × seeds × widths × optimizers; further settings are the same for all runs."""
    rng = np.random.default_rng(rng_seed)
    runs, metrics, neighbours, images = [], [], [], []
    for W in widths:
        for optimizer in optimizers:
            for n in n_values:
                for seed in seeds:
                    run_id = f"run-W{W}-{optimizer}-n{n:04d}-s{seed}"
                    runs.append(_run(run_id, state, W, optimizer, n, seed, steps) | settings)
                    slower = 1.6 if optimizer == "sgd" else 1.0
                    tau_mem = slower * prefactor * (16 / W) * n**exponent * np.exp(seed_noise * rng.normal())
                    tau = taus(steps)
                    neighbours.append(_neighbours(run_id, tau, tau_mem, n, samples, rng))
                    metrics.append(_metrics(run_id, tau, n, slower, frechet, rng))
                    images.append(_samples(run_id, tau[-1], rng))
    return Tables(
        runs=pa.Table.from_pylist(runs),
        metrics=pa.concat_tables(metrics),
        neighbours=pa.concat_tables(neighbours),
        samples=pa.concat_tables(images),
    )


def empty() -> Tables:
    """What the store gives before anything has run."""
    runs = pa.table({"run_id": pa.array([], pa.string()), "state": pa.array([], pa.string())})
    return Tables(
        runs=runs,
        metrics=METRICS.empty_table(),
        neighbours=NEIGHBOURS.empty_table(),
        samples=SAMPLES.empty_table(),
    )


def _run(run_id, state, W, optimizer, n, seed, steps):
    return {
        "run_id": run_id, "state": state, "attempt": 1, "tau": steps, "p": int(280 * W**2),
        "data": "digits", "fingerprint": "0123456789abcdef", "n": n, "subset": 0, "model": "unet", "W": W,
        "optimizer": optimizer, "lr": 0.003 if optimizer == "adam" else 0.02, "batch": "min(512, n)",
        "steps": steps, "seed": seed,
    }  # fmt: skip


def _neighbours(run_id, tau, tau_mem, n, samples, rng):
    # Sample s is memorised from tau_s on; the tau_s are logistic in ln tau with their 10 % quantile at tau_mem.
    u = rng.uniform(size=samples)
    tau_s = tau_mem * np.exp(WIDTH * (np.log(u / (1 - u)) + np.log(9)))
    ratio = np.minimum(0.95, np.sqrt(tau_s[None, :] / tau[:, None]) / 3)  # (T, S), 1/3 at tau_s
    nearest = np.broadcast_to(np.arange(samples) % n, ratio.shape)
    size = ratio.size
    columns = {
        "run_id": [run_id] * size,
        "attempt": np.ones(size, np.int32),
        "tau": np.repeat(tau, samples),
        "sample": np.tile(np.arange(samples, dtype=np.int32), len(tau)),
        "d1": 2.0 * ratio.ravel(),
        "d2": np.full(size, 2.0),
        "nn1": nearest.ravel().astype(np.int32),
        "nn2": ((nearest.ravel() + 1) % n).astype(np.int32),
    }
    return pa.table(columns, schema=NEIGHBOURS)


def _metrics(run_id, tau, n, slower, frechet, rng):
    columns = {"test_loss": [], "train_loss": []}
    for t in (50.0, 150.0, 500.0):
        train = 0.3 * tau**-0.2
        columns["train_loss"].append((t, train))
        columns["test_loss"].append((t, train + 0.1 * tau / (10 * n) * (150 / t)))
    if frechet:
        fall = 0.4 * (1 + (slower * 150 / tau) ** 1.5) * np.exp(0.04 * rng.normal(size=len(tau)))
        columns["frechet_pca"] = [(None, fall)]
    rows = [
        {"run_id": run_id, "attempt": 1, "tau": step, "images_seen": 16 * step, "t": t, "metric": metric,
         "value": value, "wall_time": 1.7e9}
        for metric, curves in columns.items() for t, values in curves
        for step, value in zip(tau.tolist(), values.tolist(), strict=True)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=METRICS)


def _samples(run_id, tau, rng, count=8):
    images = training_images(run_id)[:count] + 0.08 * rng.normal(size=(count, 1, 8, 8))
    rows = [
        {
            "run_id": run_id,
            "attempt": 1,
            "tau": int(tau),
            "sample": i,
            "shape": [1, 8, 8],
            "image": image.ravel(),
        }
        for i, image in enumerate(images)
    ]
    return pa.Table.from_pylist(rows, schema=SAMPLES)


def training_images(run_id) -> np.ndarray:
    """Blobs, NCHW in 0…1, as many as the largest n."""
    rng = np.random.default_rng(len(run_id))
    y, x = np.mgrid[:8, :8]
    centres = rng.uniform(1, 6, size=(512, 2, 1, 1))
    return np.exp(-((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2) / 4)[:, None]
