"""The layout of a store: the only module that knows file names.

Every other module asks it for a path or for the meaning of a file name. No other module joins paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from tausweep.storage.files import folders as files_folders
from tausweep.storage.files.object_store import each, is_object

TableName = Literal["metrics", "neighbours", "samples"]
TABLES: tuple[TableName, ...] = ("metrics", "neighbours", "samples")

RUN_ID_LENGTH = 20
_RUN_ID = re.compile(rf"[0-9a-f]{{{RUN_ID_LENGTH}}}")
_PART = re.compile(r"(?P<attempt>[1-9][0-9]*)-(?P<seq>[0-9]{6}|[1-9][0-9]{6,})\.parquet")
_MERGED = re.compile(r"[0-9a-f]{20}\.parquet")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True, kw_only=True, order=True)
class PartName:
    """The attempt and the sequence number in the file name of a part."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq:06d}.parquet"

    @classmethod
    def parse(cls, name: str) -> PartName | None:
        """Parse a file name; None if it is not that of a part."""
        match = _PART.fullmatch(name)
        return cls(attempt=int(match["attempt"]), seq=int(match["seq"])) if match else None


def is_temporary(path: Path) -> bool:
    """Whether a name is that of a file being published (see `storage.files.atomic`)."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_table_file(path: Path) -> bool:
    """Whether a path of the user names a single table instead of a folder."""
    return path.suffix == ".parquet"


def is_result_file(path: Path) -> bool:
    """Whether a path of the user names a JSON document."""
    return path.suffix == ".json"


def parameter_count(name: str) -> Path:
    """The cached parameter count of a network, kept for the user outside any store."""
    return user_cache_path("tausweep") / "parameters" / f"{name}.json"


_RUN_FILES = (
    r"spec\.json|claim|cancel",
    r"attempts/[1-9][0-9]*\.json|logs/[1-9][0-9]*\.log",
    r"checkpoints/(0|[1-9][0-9]*)\.pt(\.sha256)?",
    rf"({'|'.join(TABLES)})/{_PART.pattern}",
)
_EXPLAINED = re.compile(
    "|".join(
        (
            rf"runs/{_RUN_ID.pattern}/({'|'.join(_RUN_FILES)})",
            rf"compacted/({'|'.join(TABLES)})/{_MERGED.pattern}",
            r"sweeps/[^/.][^/]*\.json|jobs/([^/.][^/]*\.(json|runs|log)|scheduler/.+)|figures/.+",
            r"data/[0-9a-f]+(\.labels)?\.(npy|json)|data/sets/[^/.][^/]*\.json",
            r"features/(inception\.json|[0-9a-f]+\.(pth|npz))",
        )
    )
)
"""What may lie in a store, relative to it."""


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
        """The heartbeat of the process that executes the run now."""
        return self.path / "claim"

    @property
    def cancel(self) -> Path:
        """Exists while the run is cancelled: its worker stops, and no worker starts."""
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
        return files_folders.numbers(self.attempts, ".json")

    def log(self, number: int) -> Path:
        """The output of one attempt."""
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
        return files_folders.numbers(self.checkpoints, ".pt")

    def files(self) -> list[Path]:
        """Every file of the run."""
        return [folder / name for folder, _, names in files_folders.walk(self.path) for name in names]

    def table(self, table: TableName) -> Path:
        """Folder of a table's parts."""
        return self.path / table

    def part(self, table: TableName, name: PartName) -> Path:
        """One immutable part."""
        return self.table(table) / str(name)

    def parts(self, table: TableName) -> list[Path]:
        """Published parts of a table, in the order they were written."""
        folder = self.table(table)
        return [folder / str(name) for name in self.part_names(table)]

    def part_names(self, table: TableName) -> list[PartName]:
        """Names of the published parts of a table, in the order they were written."""
        names = map(PartName.parse, files_folders.names(self.table(table)))
        return sorted(name for name in names if name is not None)


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
        return sorted(name for name in files_folders.names(self.runs) if _RUN_ID.fullmatch(name))

    def without_attempt(self, numbers: Mapping[str, int]) -> set[str]:
        """The runs without an attempt of the given number; one look each, since there may be many runs."""
        if is_object(self.root):
            there = each(self.root, lambda item: self.run(item[0]).attempt(item[1]).exists(), numbers.items())
        else:  # not with pathlib, which takes several times as long as the look itself
            runs = str(self.runs)
            there = (os.path.exists(f"{runs}/{r}/attempts/{number}.json") for r, number in numbers.items())
        return {run_id for run_id, begun in zip(numbers, there, strict=True) if not begun}

    @property
    def compacted(self) -> Path:
        """Folder of merged files."""
        return self.root / "compacted"

    def merged(self, table: TableName, name: str) -> Path:
        """A file that holds the rows of many parts."""
        return self.compacted / table / f"{name}.parquet"

    def merged_files(self, table: TableName) -> list[Path]:
        """The merged files of a table, sorted by name."""
        folder = self.compacted / table
        return [folder / name for name in sorted(files_folders.names(folder)) if _MERGED.fullmatch(name)]

    def quarantined(self, path: Path, day: str) -> Path:
        """A free path below `quarantine/<day>/` for a file that a repair removes; its old path is kept."""
        target = self.root / "quarantine" / day / path.relative_to(self.root)
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{path.name}.{number}")
        return target

    def companions(self, path: Path) -> list[Path]:
        """Files that move together with another: the digest of a checkpoint."""
        digest = path.with_name(f"{path.name}.sha256")
        return [digest] if path.suffix == ".pt" and digest.exists() else []

    def walk(self) -> Iterator[Path]:
        """Every file of the store except those in quarantine, folder by folder."""
        for here, folders, files in files_folders.walk(self.root):
            if here == self.root and "quarantine" in folders:
                folders.remove("quarantine")
            yield from (here / name for name in sorted(files))
            folders.sort()

    def explains(self, path: Path) -> bool:
        """Whether a file of the store has a name that this module defines."""
        return _EXPLAINED.fullmatch(path.relative_to(self.root).as_posix()) is not None

    @property
    def sweeps(self) -> Path:
        """Folder of sweep records."""
        return self.root / "sweeps"

    def sweep(self, name: str) -> Path:
        """The record of a sweep as it was last expanded."""
        return self.sweeps / f"{name}.json"

    def sweep_names(self) -> list[str]:
        """Names of the recorded sweeps, sorted."""
        return files_folders.stems(self.sweeps, ".json")

    @property
    def jobs(self) -> Path:
        """Folder of the records of submitted jobs."""
        return self.root / "jobs"

    def job(self, job_id: str) -> Path:
        """The record of one submission."""
        return self.jobs / f"{job_id}.json"

    def job_runs(self, job_id: str) -> Path:
        """The run directories of a job, one per line."""
        return self.jobs / f"{job_id}.runs"

    def job_log(self, job_id: str) -> Path:
        """The output of the job itself, outside any attempt."""
        return self.jobs / f"{job_id}.log"

    @property
    def scheduler_files(self) -> Path:
        """Folder of the scheduler's own files: batch scripts, and output from before a worker runs."""
        return self.jobs / "scheduler"

    def job_ids(self) -> list[str]:
        """Ids of the recorded jobs, sorted."""
        return files_folders.stems(self.jobs, ".json")

    @property
    def data(self) -> Path:
        """Folder of prepared image arrays."""
        return self.root / "data"

    def images(self, fingerprint: str) -> Path:
        """A prepared data set: one memory-mapped array, uint8, NCHW."""
        return self.data / f"{fingerprint}.npy"

    def labels(self, fingerprint: str) -> Path:
        """The classes of a prepared data set, if it has classes: int64, one per image."""
        return self.data / f"{fingerprint}.labels.npy"

    @property
    def _sets(self) -> Path:
        return self.data / "sets"

    def image_set(self, name: str, size: int, color: str) -> Path:
        """The record of a named data set: its fingerprint, digest and count."""
        return self._sets / f"{name}-{size}-{color}.json"

    def image_sets(self) -> list[Path]:
        """The records of all named data sets, sorted."""
        return [self._sets / f"{stem}.json" for stem in files_folders.stems(self._sets, ".json")]

    def images_index(self, key: str) -> Path:
        """The fingerprint of a folder of images, under a key from names, sizes and dates."""
        return self.data / f"{key}.json"

    @property
    def features(self) -> Path:
        """Folder of the weights and cached statistics of feature extractors."""
        return self.root / "features"

    @property
    def inception(self) -> Path:
        """The digest of the Inception weights that new sweeps use."""
        return self.features / "inception.json"

    def inception_weights(self, digest: str) -> Path:
        """Weights of the Inception network, named by their sha256 in hex."""
        return self.features / f"{digest}.pth"

    def statistics(self, key: str) -> Path:
        """Mean and covariance of the features of a set of held-out images."""
        return self.features / f"{key}.npz"

    def figures(self, sweep: str) -> Path:
        """Default folder of a sweep's figures."""
        return self.root / "figures" / sweep
