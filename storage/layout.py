"""Where everything lies in a store: the sole owner of file names.

Every other module asks here for a path or for what a file name means; no module joins paths by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TableName = Literal["metrics", "neighbours", "samples"]
TABLES: tuple[TableName, ...] = ("metrics", "neighbours", "samples")

RUN_ID_LENGTH = 20
_RUN_ID = re.compile(rf"[0-9a-f]{{{RUN_ID_LENGTH}}}")
_PART = re.compile(r"(?P<attempt>[1-9][0-9]*)-(?P<seq>[0-9]{6}|[1-9][0-9]{6,})\.parquet")
_NUMBER = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, kw_only=True)
class PartName:
    """The attempt and the sequence number that a part's file name carries."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq:06d}.parquet"

    @classmethod
    def parse(cls, name: str) -> PartName | None:
        """Read a file name; None if it is not a part's."""
        match = _PART.fullmatch(name)
        return cls(attempt=int(match["attempt"]), seq=int(match["seq"])) if match else None


def _numbers(folder: Path, suffix: str) -> list[int]:
    """The files of a folder that are named by a number, ascending; files of other names are not ours."""
    if not folder.is_dir():
        return []
    return sorted(int(f.stem) for f in folder.iterdir() if f.suffix == suffix and _NUMBER.fullmatch(f.stem))


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's content id, which names the directory."""
        return self.path.name

    @property
    def store(self) -> StoreLayout:
        """The store that holds the run."""
        return StoreLayout(self.path.parent.parent)

    @property
    def spec(self) -> Path:
        """The frozen spec; its settings hash to the run id."""
        return self.path / "spec.json"

    @property
    def claim(self) -> Path:
        """Who executes the run now, with its heartbeat."""
        return self.path / "claim"

    @property
    def cancel(self) -> Path:
        """Present while the run is cancelled: a worker stops at it, and none starts."""
        return self.path / "cancel"

    @property
    def attempts(self) -> Path:
        """Folder of attempt records."""
        return self.path / "attempts"

    def attempt(self, number: int) -> Path:
        """The record of one attempt."""
        return self.attempts / f"{number}.json"

    def attempt_numbers(self) -> list[int]:
        """The attempts recorded so far, ascending; empty if the run was never started."""
        return _numbers(self.attempts, ".json")

    def log(self, number: int) -> Path:
        """What one attempt printed."""
        return self.path / "logs" / f"{number}.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, tau: int) -> Path:
        """The state of training after `tau` optimiser updates."""
        return self.checkpoints / f"{tau}.pt"

    def checkpoint_digest(self, tau: int) -> Path:
        """sha256 of a checkpoint, in hex."""
        return self.checkpoints / f"{tau}.pt.sha256"

    def checkpoint_taus(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return _numbers(self.checkpoints, ".pt")

    def table(self, table: TableName) -> Path:
        """Folder of a table's parts."""
        return self.path / table

    def part(self, table: TableName, name: PartName) -> Path:
        """One immutable part."""
        return self.table(table) / str(name)

    def parts(self, table: TableName) -> list[Path]:
        """Published parts of a table, in the order they were written."""
        folder = self.table(table)
        if not folder.is_dir():
            return []
        named = [(PartName.parse(f.name), f) for f in folder.iterdir() if not f.name.startswith(".")]
        return [f for name, f in sorted(((n.attempt, n.seq), f) for n, f in named if n is not None)]


@dataclass(frozen=True)
class StoreLayout:
    """The folders of a store."""

    root: Path

    @property
    def runs(self) -> Path:
        """Folder of run directories."""
        return self.root / "runs"

    def run(self, run_id: str) -> RunDirectory:
        """The directory of a run, whether it exists or not."""
        return RunDirectory(self.runs / run_id)

    def run_ids(self) -> list[str]:
        """Ids of the runs that have a directory, sorted."""
        if not self.runs.is_dir():
            return []
        return sorted(f.name for f in self.runs.iterdir() if _RUN_ID.fullmatch(f.name))

    @property
    def sweeps(self) -> Path:
        """Folder of sweep records."""
        return self.root / "sweeps"

    def sweep(self, name: str) -> Path:
        """The record of a sweep as it was last expanded."""
        return self.sweeps / f"{name}.json"

    def sweep_names(self) -> list[str]:
        """Names of the recorded sweeps, sorted."""
        if not self.sweeps.is_dir():
            return []
        return sorted(f.stem for f in self.sweeps.glob("*.json") if not f.name.startswith("."))

    @property
    def jobs(self) -> Path:
        """Folder of job records: what was handed to a scheduler."""
        return self.root / "jobs"

    def job(self, job_id: str) -> Path:
        """The record of one submission."""
        return self.jobs / f"{job_id}.json"

    def job_runs(self, job_id: str) -> Path:
        """The run directories handed to a job, one a line."""
        return self.jobs / f"{job_id}.runs"

    def job_log(self, job_id: str) -> Path:
        """What the job itself printed, outside any attempt."""
        return self.jobs / f"{job_id}.log"

    def job_ids(self) -> list[str]:
        """Ids of the recorded jobs, sorted."""
        if not self.jobs.is_dir():
            return []
        return sorted(f.stem for f in self.jobs.glob("*.json") if not f.name.startswith("."))

    @property
    def data(self) -> Path:
        """Folder of prepared image arrays."""
        return self.root / "data"

    def images(self, fingerprint: str) -> Path:
        """A prepared data set: one memory-mapped array, uint8, NCHW."""
        return self.data / f"{fingerprint}.npy"

    def images_index(self, key: str) -> Path:
        """What is known of a folder of images: its fingerprint, under a key made from names, sizes and dates."""
        return self.data / f"{key}.json"

    def figures(self, sweep: str) -> Path:
        """Default folder of a sweep's figures."""
        return self.root / "figures" / sweep
