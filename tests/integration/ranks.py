"""Runs that are trained by real worker processes with several ranks, without an orchestrator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from tausweep.jobs.data.digits import digits
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.fingerprints import fingerprint_digits
from tausweep.storage.attempts.status import run_status
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import RunDirectory, StoreLayout
from tests.waiting import wait_for

SETTINGS: dict[str, Any] = {
    "fingerprint": fingerprint_digits(),
    "n": 7,
    "lr": 1e-3,
    "batch": 5,
    "steps": 60,
    "eval_first": 15,
    "eval_per_decade": 2,
    "samples": 13,
    "ddim_steps": 3,
    "loss_pairs": 17,
    "frechet_dims": 3,
    "gallery": 3,
    "pixel_scale": 2,
    "seed": 0,
}
UNET: dict[str, Any] = {"W": 4, "multipliers": [1, 1]}
MLP: dict[str, Any] = {"model": "mlp", "W": 4, "blocks": 1}
"""Loaded in little more than half of the time, for tests to which the network is all one."""
QUICK = ("--heartbeat-seconds", "0.1", "--checkpoint-seconds", "0.3", "--max-attempts", "1")
_started: list[subprocess.Popen[str]] = []


def prepare(layout: StoreLayout, network: dict[str, Any] = UNET, **changes: Any) -> RunDirectory:
    """Write what a worker needs for one run."""
    if not layout.images(fingerprint_digits()).exists():
        publish(layout.images(fingerprint_digits()), lambda file: np.save(file, digits()))
    spec = RunSpec.from_settings(SETTINGS | network | changes)
    run = layout.run(spec.run_id)
    write_record(run.spec, {"run_id": run.run_id, "p": 1, "settings": spec.settings()})
    return run


def worker(*arguments: object, python: tuple[str, ...] = ("-m", "tausweep.workers")) -> subprocess.Popen[str]:
    """Start a worker in a session of its own and return at once; `end_workers` ends it if the test does not."""
    process = subprocess.Popen(
        [sys.executable, *python, *map(str, arguments), *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    _started.append(process)
    return process


def end_workers() -> None:
    """Kill what a test that failed has left behind: a worker of its own session outlives it by hours."""
    while _started:
        with _started.pop() as process, suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def finish(process: subprocess.Popen[str], *, code: int = 0, seconds: float = 240) -> str:
    """Wait for a worker's end; what it printed."""
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code, output
    return output


def trains(run: RunDirectory, process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until a run is past its first steps; the processes of ranks 1, 2, …"""
    wait_for(lambda: run_status(run).tau > 10 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return psutil.Process(process.pid).children()


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    """The model in the newest checkpoint."""
    state = torch.load(run.checkpoint(run.checkpoint_taus()[-1]), weights_only=True)
    return state["model"]


def store_at(path: Path) -> StoreLayout:
    """A store in a folder."""
    return StoreLayout(path)
