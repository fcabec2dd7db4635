"""A small real sweep for tests of the whole: written, run and read as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.sql import query

SWEEP = """
name: tiny
experiment: diffusion
settings:
  data: digits
  model: mlp
  blocks: 1
  batch: min(512, n)
  steps: {steps}
  eval_first: 10
  eval_per_decade: 4
  samples: 12
  ddim_steps: 3
  loss_pairs: 16
  frechet_dims: 3
  gallery: 2
  pixel_scale: 2
grid:
  n: [4, 6]
  W: [4]
  optimizer: [adam, sgd]
  seed: [0]
when:
  optimizer=adam: {{lr: 4e-3}}
  optimizer=sgd: {{lr: 0.02, clip: 1}}
resources: {{workers: 2, heartbeat_seconds: 0.2, checkpoint_seconds: 0.3, retry_seconds: 0.5}}
"""
"""Of a network that trains some hundred steps a second and is loaded in little more than half the time of a U-Net."""


def write_sweep(folder: Path, *, steps: int = 40) -> Path:
    """Write the sweep file of four runs."""
    path = folder / "tiny.yaml"
    path.write_text(SWEEP.format(steps=steps))
    return path


def run_command(
    *arguments: str | Path, store: Path | str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "tausweep", *map(str, arguments), "--store", str(store)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def start(*arguments: str | Path, store: Path | str) -> subprocess.Popen[str]:
    """Start a command and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "tausweep", *map(str, arguments), "--store", str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def science(store: Path) -> dict[str, list[dict[str, object]]]:
    """Everything measured, without what depends on the clock or on how often a run was begun."""
    layout = StoreLayout(store)
    tables = {
        name: read_table(layout, name, layout.run_ids()) for name in ("metrics", "neighbours", "samples")
    }
    return {
        name: table.drop_columns([c for c in ("attempt", "wall_time") if c in table.column_names]).to_pylist()
        for name, table in tables.items()
    }


def states(store: Path) -> dict[str, int]:
    """How many runs are in which state."""
    rows: pa.Table = query(StoreLayout(store), "SELECT state, count(*) AS runs FROM runs GROUP BY state")
    return {row["state"]: row["runs"] for row in rows.to_pylist()}
