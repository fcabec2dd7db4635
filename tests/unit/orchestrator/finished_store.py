"""Stores whose runs were never trained: real records and parts, written as workers write them, without torch."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer.main

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.cli.app import main
from tausweep.orchestrator.datasets.staging import identify
from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.plan.plan import Plan, make_plan
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import Sweep, read_sweep
from tausweep.storage.attempts.claims import begin_attempt, end_attempt
from tausweep.storage.attempts.records import AttemptRecord, Failure, RetryPolicy, write_attempt
from tausweep.storage.files.records import write_new_record
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.workers.inputs import open_spec

SWEEP = """\
name: tiny
experiment: diffusion
settings:
  data: digits
  batch: min(512, n)
  steps: 60
  samples: 24
  frechet_dims: 4
grid:
  n: [4, 8]
  W: [4]
  optimizer: [adam, sgd]
  seed: [0, 1]
when:
  optimizer=adam: {lr: 4e-3}
  optimizer=sgd: {lr: 0.02}
"""
"""A valid sweep of eight runs; tests change single words of it."""


def write_sweep(folder: Path, text: str = SWEEP) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def parameter_count(spec: RunSpec) -> int:
    """A stand-in for p that needs no torch."""
    return 280 * spec.model.W**2


def write_specs(file: Path, layout: StoreLayout, overrides: Sequence[str] = ()) -> Sweep:
    """Write only the specs of a sweep: p is known then, and no plan has to count it by a process with torch."""
    sweep = read_sweep(file, overrides)
    specs, _ = identify(expand(sweep), sweep.folder, layout)
    for spec in specs:
        record = {"run_id": spec.run_id, "p": parameter_count(spec), "settings": spec.settings()}
        write_new_record(layout.run(spec.run_id).spec, record)
    return sweep


def prepared(file: Path, layout: StoreLayout, overrides: Sequence[str] = ()) -> Plan:
    """What `run` leaves before the first worker starts."""
    plan = make_plan(write_specs(file, layout, overrides), layout)
    prepare(plan, layout)
    return plan


def begin(run: RunDirectory, *, job_id: str | None = None, max_attempts: int = 3) -> AttemptRecord:
    """Claim a run for the process of the tests, as a worker does."""
    retries = RetryPolicy(max_attempts=max_attempts)
    record = begin_attempt(run, job_id=job_id, provenance={"code": "test"}, retries=retries)
    assert record is not None
    run.log(record.attempt).parent.mkdir(exist_ok=True)
    run.log(record.attempt).write_text(f"run {run.run_id}, attempt {record.attempt}\n")
    return record


def finish(run: RunDirectory) -> None:
    """Execute a run without training: f_mem reaches one half at tau = 5 n."""
    record, spec = begin(run), open_spec(run)
    write_parts(PartWriter(run, attempt=record.attempt), spec)
    end(run, record, state="succeeded", tau=spec.training.steps)


def fail(run: RunDirectory, *, failure: Failure = "error", error: str = "bad", traceback: str = "") -> None:
    """Execute a run that fails by itself."""
    end(run, begin(run), state="failed", tau=3, failure=failure, error=error, traceback=traceback)


def lose(run: RunDirectory, *, max_attempts: int = 1) -> None:
    """Leave a run as a worker does that is killed: still running, says its record, but the process is gone."""
    record = begin(run, max_attempts=max_attempts)
    gone = record.process.model_copy(update={"started": record.process.started - 1000})
    write_attempt(run, record.model_copy(update={"process": gone}))


def end(run: RunDirectory, record: AttemptRecord, **ending: object) -> None:
    end_attempt(run, record.model_copy(update={"resumed_from_tau": 0, "ended": record.started + 9, **ending}))


def write_parts(writer: PartWriter, spec: RunSpec, taus: Sequence[int] | None = None) -> None:
    """Metrics, neighbours and samples at some tau of the spec, by default at every one."""
    rng = np.random.default_rng(spec.seed)
    samples, batch = spec.evaluation.samples, spec.batch_size
    for tau in spec.taus if taus is None else taus:
        near = np.minimum(5 * spec.data.n / tau * rng.uniform(0.2, 0.5, samples), 0.9)
        metrics = [("frechet_pca", None, 0.4 + 10 / tau), ("f_mem", None, float(np.mean(near < 1 / 3)))]
        for t in spec.evaluation.loss_t:
            metrics += [("train_loss", t, 0.3), ("test_loss", t, 0.3 + 0.01 * tau / spec.data.n)]
        writer.publish(
            "metrics",
            {
                "tau": [tau] * len(metrics),
                "images_seen": [tau * batch] * len(metrics),
                "t": [t for _, t, _ in metrics],
                "metric": [name for name, _, _ in metrics],
                "value": [value for _, _, value in metrics],
                "wall_time": [1.7e9 + tau] * len(metrics),
            },
        )
        writer.publish(
            "neighbours",
            {
                "tau": [tau] * samples,
                "sample": np.arange(samples),
                "d1": near,
                "d2": np.ones(samples),
                "nn1": np.zeros(samples, int),
                "nn2": np.ones(samples, int),
            },
        )
        shape = spec.data.shape
        writer.publish(
            "samples",
            {
                "tau": [tau] * 2,
                "sample": [0, 1],
                "shape": [list(shape)] * 2,
                "image": [np.zeros(np.prod(shape)), np.ones(np.prod(shape))],
            },
        )


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


_command = functools.cache(typer.main.get_command)


def run_command(*arguments: str | Path, store: Path) -> Done:
    """Run a command in this process, as the installed script does."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tausweep", *map(str, arguments), "--store", str(store)])
        patch.setattr("typer.main.get_command", _command)  # built once, not at every call
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def python(*arguments: str) -> list[str]:
    """The command line of this Python."""
    return [sys.executable, *arguments]


ENVIRONMENT = os.environ | {"PYTHONUNBUFFERED": "1"}


def refused(done: Done, *words: str) -> None:
    """The contract for what a user can get wrong."""
    assert done.code == 2, done
    assert done.err.startswith("tausweep: ")
    assert "Traceback" not in done.out + done.err
    assert all(word in done.err for word in words), done.err
