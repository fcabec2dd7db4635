"""Opens the Parquet files of a table: parts of one run, and merged files with the rows of many runs.

Used by the reader, by compaction and by verification. A damaged file, or one with another schema, is refused
and named. `storage.tables.scan` decides which rows count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.fs as pfs
import pyarrow.parquet as pq

from tausweep.storage.errors import CorruptFileError, SchemaError
from tausweep.storage.files.object_store import filesystem, is_object, key
from tausweep.storage.layout import PartName, TableName
from tausweep.storage.tables.schemas import SCHEMAS, VERSION_KEY

FORMAT = pds.ParquetFileFormat(
    default_fragment_scan_options=pds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_DISK = pfs.LocalFileSystem()
_MERGED_KEY = b"tausweep.merged"
_ROW_GROUP_ROWS = 1 << 17
_ROW_GROUP_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class MergedRun:
    """What a merged file contains of one run.

    Attributes:
        complete: the run's last attempt, if the file contains all rows of the run that count as of that
            attempt; None if other files may have more.
        parts: names of the parts that the file replaces.
    """

    complete: int | None
    parts: Sequence[PartName] = ()

    def dump(self) -> list[Any]:
        """As JSON: parts as ranges of sequence numbers, [attempt, first, last]."""
        ranges: list[list[int]] = []
        for name in sorted(self.parts):
            if ranges and ranges[-1][0] == name.attempt and ranges[-1][2] == name.seq - 1:
                ranges[-1][2] = name.seq
            else:
                ranges.append([name.attempt, name.seq, name.seq])
        return [self.complete, ranges]


@dataclass(frozen=True, kw_only=True)
class MergedFile:
    """A merged file and its runs."""

    path: Path
    fragment: pds.ParquetFileFragment
    runs: Mapping[str, list[Any]]

    def complete(self, run_id: str) -> int | None:
        """See `MergedRun`."""
        attempt: int | None = self.runs[run_id][0]
        return attempt

    def parts(self, run_id: str) -> set[PartName]:
        """See `MergedRun`."""
        return {
            PartName(attempt=attempt, seq=seq)
            for attempt, first, last in self.runs[run_id][1]
            for seq in range(first, last + 1)
        }


def _filesystem(path: Path) -> pfs.FileSystem:
    return pfs.PyFileSystem(pfs.FSSpecHandler(filesystem(path))) if is_object(path) else _DISK


def open_part(path: Path, table: TableName) -> pds.ParquetFileFragment:
    """Open a part as a fragment of a data set, with its footer checked.

    Raises:
        FileNotFoundError: the file does not exist; a compaction may have merged it meanwhile.
        CorruptFileError: it is truncated or not a Parquet file.
        SchemaError: it does not have this version's schema.
    """
    fragment = FORMAT.make_fragment(key(path), filesystem=_filesystem(path))
    schema = SCHEMAS[table]
    try:
        physical = fragment.physical_schema
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptFileError(f"{path}: not a whole Parquet file ({error})") from error
    version = (physical.metadata or {}).get(VERSION_KEY)
    if not physical.equals(schema, check_metadata=False) or version != schema.metadata[VERSION_KEY]:
        raise SchemaError(
            f"{path}: its schema is not that of table {table!r} in this version; it has {physical.names}, "
            f"version {None if version is None else version.decode()}"
        )
    return fragment


def open_merged(path: Path, table: TableName) -> MergedFile:
    """Open a merged file, with its footer checked.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `open_part`.
    """
    fragment = open_part(path, table)
    content = fragment.physical_schema.metadata.get(_MERGED_KEY)
    if content is None:
        raise SchemaError(f"{path}: does not list its runs, so it is not a merged file")
    try:
        runs = json.loads(content)
    except ValueError as error:
        raise CorruptFileError(f"{path}: its list of runs is damaged ({error})") from error
    return MergedFile(path=path, fragment=fragment, runs=runs)


def replaced_parts(files: Iterable[MergedFile]) -> dict[str, set[PartName]]:
    """The runs in merged files, and the parts of each run that they replace."""
    replaced: dict[str, set[PartName]] = {}
    for file in files:
        for run_id in file.runs:
            replaced.setdefault(run_id, set()).update(file.parts(run_id))
    return replaced


def dataset(fragments: Iterable[pds.ParquetFileFragment], table: TableName) -> pds.Dataset:
    """Opened files as one data set; page checksums are verified wherever it is read."""
    files = list(fragments)
    return pds.FileSystemDataset(files, SCHEMAS[table], FORMAT, files[0].filesystem if files else _DISK)


def read_part(path: Path, table: TableName) -> pa.Table:
    """The rows of a part.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `open_part`, and damage that the footer does not
            show.
    """
    return pa.Table.from_batches(_batches(path, table), SCHEMAS[table])


def read_through(path: Path, table: TableName) -> None:
    """Read a whole file and discard it, to find damage that its footer does not show.

    Raises:
        FileNotFoundError, CorruptFileError, SchemaError: as `read_part`.
    """
    for _ in _batches(path, table):
        pass


def _batches(path: Path, table: TableName) -> Iterator[pa.RecordBatch]:
    fragment = open_part(path, table)
    try:
        yield from fragment.to_batches(SCHEMAS[table], batch_size=_ROW_GROUP_ROWS, batch_readahead=1)
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptFileError(f"{path}: damaged ({error})") from error


def write_merged(
    table: TableName, runs: Mapping[str, MergedRun], chunks: Iterable[pa.Table], file: BinaryIO
) -> None:
    """Write a merged file from tables that are each sorted."""
    listed = json.dumps(dump_runs(runs), separators=(",", ":")).encode()
    schema = SCHEMAS[table].with_metadata({**SCHEMAS[table].metadata, _MERGED_KEY: listed})
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for rows in chunks:
            bytes_a_row = rows.nbytes / max(1, rows.num_rows)
            size = min(_ROW_GROUP_ROWS, max(1, int(_ROW_GROUP_BYTES / max(1.0, bytes_a_row))))
            writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=size)


def dump_runs(runs: Mapping[str, MergedRun]) -> dict[str, list[Any]]:
    """The runs of a merged file as JSON values; they also determine its name."""
    return {run_id: run.dump() for run_id, run in sorted(runs.items())}
