"""Merges the parts of finished runs into a few large files, while readers and other writers continue.

Called by `tausweep compact`. The merged file is published first; a part is removed only after a merged file
with every row of it that counts has been read back whole. Both steps may be interrupted anywhere and
repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import StoreError
from tausweep.storage.files.atomic import publish_new, sync_folder
from tausweep.storage.files.object_store import io_errors
from tausweep.storage.layout import TABLES, PartName, RunDirectory, StoreLayout, TableName
from tausweep.storage.tables.parquet import (
    MergedFile,
    MergedRun,
    dataset,
    dump_runs,
    open_merged,
    read_part,
    read_through,
    replaced_parts,
    write_merged,
)
from tausweep.storage.tables.record_tables import cuts_table
from tausweep.storage.tables.scan import closed_connection, equal, literal, read_table
from tausweep.storage.tables.schemas import KEYS, MERGED_ORDER, SCHEMAS

_FILE_BYTES = 512 << 20  # of parts; a merged file is smaller, because it has one footer and longer pages
_CHUNK_BYTES = 32 << 20  # of parts held in memory at once
_NAME_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """The result of a compaction for one table: files published, parts removed."""

    table: TableName
    files: int
    parts: int


def compact_in_passing(runs: Sequence[RunDirectory]) -> None:
    """Merge the parts of finished runs, so that queries do not slow down as the sweep grows.

    Nothing is lost if that fails: the parts stay, and readers report what is wrong. Here the error is
    printed.
    """
    expected: tuple[type[Exception], ...] = (StoreError, *io_errors())
    try:
        compact(runs[0].store, [run.run_id for run in runs])
    except expected as error:
        print(f"could not merge the parts of finished runs: {error}", flush=True)  # noqa: T201 - into the job's log


def compact(layout: StoreLayout, run_ids: Iterable[str] | None = None) -> list[Compaction]:
    """Merge the parts of finished runs, and remove parts that a merged file replaces.

    Only runs that have succeeded are touched. Rows that the attempt rule drops are left out: whatever later
    attempts do, such rows never count again.

    Args:
        layout: the store.
        run_ids: only these runs; all by default.

    Raises:
        CorruptFileError, SchemaError: a file cannot be read; it is named, and no part of its runs is removed.
        StoreError: a part has rows that are missing in the merged file that names it; the part is kept.
    """
    present = layout.run_ids()
    chosen = present if run_ids is None else sorted(set(present).intersection(run_ids))
    # Read the state before the parts: a run that has succeeded publishes nothing more.
    status = {run_id: run_status(layout.run(run_id)) for run_id in chosen}
    finished = {run_id: s.attempt for run_id, s in status.items() if s.state == "succeeded"}
    done = []
    for table in TABLES:
        removed = _remove_replaced(layout, table)
        files = sum(_merge(layout, table, runs) for runs in _groups(layout, table, finished))
        removed += _remove_replaced(layout, table)
        done.append(Compaction(table=table, files=files, parts=removed))
    return done


def split_by_size(sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """Divide runs, in order, into lists whose total sizes are at most about the limit."""
    group: list[str] = []
    total = 0
    for run_id, size in sizes.items():
        if group and total + size > limit:
            yield group
            group, total = [], 0
        group.append(run_id)
        total += size
    if group:
        yield group


def _part_bytes(layout: StoreLayout, table: TableName, runs: Iterable[str]) -> dict[str, int]:
    sizes = {}
    for run_id in runs:
        try:
            sizes[run_id] = sum(part.stat().st_size for part in layout.run(run_id).parts(table))
        except FileNotFoundError:  # another compaction is removing them: they are merged already
            sizes[run_id] = 0
    return sizes


def _groups(
    layout: StoreLayout, table: TableName, finished: Mapping[str, int]
) -> Iterator[dict[str, MergedRun]]:
    """The contents of each new merged file."""
    replaced = replaced_parts(open_merged(path, table) for path in layout.merged_files(table))
    runs = {}
    for run_id, attempt in finished.items():
        parts = layout.run(run_id).part_names(table)
        if set(parts) - replaced.get(run_id, set()):
            runs[run_id] = MergedRun(complete=attempt, parts=parts)
    for group in split_by_size(_part_bytes(layout, table, runs), _FILE_BYTES):
        yield {run_id: runs[run_id] for run_id in group}


def _merge(layout: StoreLayout, table: TableName, runs: Mapping[str, MergedRun]) -> bool:
    def chunks() -> Iterator[pa.Table]:
        for run_ids in split_by_size(_part_bytes(layout, table, runs), _CHUNK_BYTES):
            yield read_table(layout, table, run_ids)

    return publish_merged(layout, table, runs, chunks())


def publish_merged(
    layout: StoreLayout,
    table: TableName,
    runs: Mapping[str, MergedRun],
    chunks: Iterable[pa.Table],
    *,
    name: str | None = None,
) -> bool:
    """Publish rows as a merged file, by default named after its runs and parts; return whether it is new.

    Raises:
        CorruptFileError: the written file cannot be read back.
    """
    listed = json.dumps([table, dump_runs(runs)], sort_keys=True).encode()
    path = layout.merged(table, (name or hashlib.sha256(listed).hexdigest())[:_NAME_DIGITS])
    order = [(column, "ascending") for column in MERGED_ORDER[table]]
    new = publish_new(path, partial(write_merged, table, runs, (rows.sort_by(order) for rows in chunks)))
    read_through(path, table)
    return new


def _remove_replaced(layout: StoreLayout, table: TableName) -> int:
    """Remove the parts that merged files name; return how many."""
    removed = 0
    for path in layout.merged_files(table):
        file = open_merged(path, table)
        parts = {
            run_id: sorted(file.parts(run_id).intersection(live))
            for run_id in file.runs
            if (live := layout.run(run_id).part_names(table))
        }
        parts = {run_id: names for run_id, names in parts.items() if names}
        if not parts:
            continue
        read_through(path, table)
        for run_ids in split_by_size(_part_bytes(layout, table, parts), _CHUNK_BYTES):
            chunk = {run_id: parts[run_id] for run_id in run_ids}
            _require_merged(layout, table, file, chunk)
            for run_id, names in chunk.items():
                for name in names:
                    layout.run(run_id).part(table, name).unlink(missing_ok=True)
                removed += len(names)
                sync_folder(layout.run(run_id).table(table))
    return removed


def _require_merged(
    layout: StoreLayout, table: TableName, file: MergedFile, parts: Mapping[str, list[PartName]]
) -> None:
    """Check that the merged file has every row of the parts that counts, or a higher attempt's row for it."""
    live = [SCHEMAS[table].empty_table()]
    for run_id, names in parts.items():
        for name in names:
            try:
                live.append(read_part(layout.run(run_id).part(table, name), table))
            except FileNotFoundError:  # meanwhile removed by another compaction
                continue
    same_key = equal("merged", "live", KEYS[table])
    same_row = equal("merged", "live", SCHEMAS[table].names)
    ids = ", ".join(map(literal, parts))
    with closed_connection() as connection:
        connection.register("live", pa.concat_tables(live))
        connection.register("cuts", cuts_table(layout, parts))
        connection.register("file", dataset([file.fragment], table))
        missing = connection.sql(f"""
            SELECT any_value(live.run_id) FROM live
            LEFT JOIN cuts ON live.run_id = cuts.run_id AND live.attempt = cuts.attempt
            LEFT JOIN (SELECT * FROM file WHERE run_id IN ({ids})) AS merged ON {same_key}
            WHERE (cuts.last_tau IS NULL OR live.tau <= cuts.last_tau)
            AND (merged.attempt IS NULL OR NOT (merged.attempt > live.attempt OR ({same_row})))
        """).fetchall()[0][0]  # noqa: S608 - names of this module and run ids
    if missing is not None:
        raise StoreError(
            f"{file.path}: lacks rows of run {missing} that are still in the parts it replaces; the parts are kept. "
            "Run `tausweep store check`"
        )
