"""Copies runs between stores: export into a new folder, import into a store that may have some of them.

Called by `tausweep export` and `tausweep import`. An exported folder is itself a store, with one file per
table. Runs are merged by id: rows of one attempt must be equal in both stores, or the import is refused.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import last_attempt, read_attempt, write_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import InputError, StoreError
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.object_store import read
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import TABLES, RunDirectory, StoreLayout, TableName
from tausweep.storage.maintenance.compaction import publish_merged
from tausweep.storage.tables.parquet import MergedRun, dataset
from tausweep.storage.tables.record_tables import cuts_table
from tausweep.storage.tables.scan import closed_connection, equal, literal, read_table, take_snapshot
from tausweep.storage.tables.schemas import KEYS, SCHEMAS

_CHUNK_BYTES = 16 << 20
_NAMED = 5  # number of runs that an error names

CheckSpec = Callable[[str, dict[str, Any]], object]


@dataclass
class Import:
    """The result of an import: new runs, runs that existed already, added rows and added attempts."""

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    rows: dict[TableName, int] = field(default_factory=dict)
    attempts: int = 0


def export_runs(
    source: StoreLayout, target: StoreLayout, sweep: str, run_ids: Sequence[str], *, checkpoints: bool = False
) -> None:
    """Copy a sweep into a folder that is itself a store: specs, attempts, tables and the sweep's record.

    Images, logs and figures are left behind. The sweep's record is written last, so a folder without it is
    incomplete.

    Args:
        source: the store.
        target: an absent or empty folder.
        sweep: name of the sweep.
        run_ids: its runs; those without a directory are left out.
        checkpoints: whether to copy the newest checkpoint of each run too, so that the run can go on.

    Raises:
        InputError: the folder is not empty.
        CorruptFileError, SchemaError: a file of the store cannot be read; it is named.
    """
    if target.root.exists() and (not target.root.is_dir() or any(target.root.iterdir())):
        raise InputError(f"{target.root}: exists already; export into a new folder")
    present = [run_id for run_id in run_ids if source.run(run_id).spec.exists()]
    complete = _complete(source, present)
    for table in TABLES:
        _copy_rows(source, target, table, {run_id: complete[run_id] for run_id in present})
    for run_id in present:
        _copy_records(source.run(run_id), target.run(run_id))
        if checkpoints:
            _copy_checkpoint(source.run(run_id), target.run(run_id))
    write_record(target.sweep(sweep), read_record(source.sweep(sweep)))


def import_runs(source: StoreLayout, target: StoreLayout, check_spec: CheckSpec) -> Import:
    """Copy all runs and sweeps of a store into another; what the other has already stays as it is.

    Everything is compared before anything is written, and nothing is imported if one run differs. After an
    interruption the next call continues.

    Args:
        source: an exported folder, or any store.
        target: the store to add to; made if missing.
        check_spec: called with a run id and its settings; raises if they do not match.

    Raises:
        StoreError: runs differ between the two stores, or are being executed; they are named, and nothing was
            written.
        CorruptFileError, SchemaError, IdentityError: a file of either store cannot be read; it is named.
    """
    run_ids = [run_id for run_id in source.run_ids() if source.run(run_id).spec.exists()]
    for run_id in run_ids:
        check_spec(run_id, read_record(source.run(run_id).spec, "settings")["settings"])
    problems = {r: p for r in run_ids if (p := _record_problem(source.run(r), target.run(r)))}
    for table in TABLES:
        for chunk in _chunks(source, table, run_ids):
            differing = _compare(source, target, table, chunk, _DIFFERENT)["run_id"].to_pylist()
            problems |= dict.fromkeys(differing, f"table {table} has different values for the same attempt")
    sweeps = {name: _merged_sweep(source, target, name) for name in source.sweep_names()}
    if problems:
        named = "; ".join(f"run {run_id}: {problem}" for run_id, problem in sorted(problems.items())[:_NAMED])
        raise StoreError(
            f"{source.root}: {len(problems)} of {len(run_ids)} runs conflict with those in {target.root}, "
            f"so nothing was imported. {named}"
        )
    done = Import()
    for run_id in run_ids:
        (done.known if target.run(run_id).spec.exists() else done.new).append(run_id)
    complete = _complete(source, run_ids)
    for table in TABLES:
        done.rows[table] = _copy_new_rows(source, target, table, complete)
    for run_id in run_ids:
        done.attempts += _copy_records(source.run(run_id), target.run(run_id))
        if not target.run(run_id).checkpoint_taus():
            _copy_checkpoint(source.run(run_id), target.run(run_id))
    for name, record in sweeps.items():
        if record is not None:
            write_record(target.sweep(name), record)
    return done


def _complete(source: StoreLayout, run_ids: Sequence[str]) -> dict[str, int | None]:
    """For each run its last attempt if that succeeded, so that it has published everything."""
    status = {run_id: run_status(source.run(run_id)) for run_id in run_ids}
    return {run_id: s.attempt if s.state == "succeeded" else None for run_id, s in status.items()}


def _chunks(source: StoreLayout, table: TableName, run_ids: Sequence[str]) -> Iterator[list[str]]:
    """Runs in lists of about as many as fit into memory at once."""
    paths = take_snapshot(source, table, run_ids).paths
    bytes_a_run = sum(path.stat().st_size for path in paths) / max(1, len(run_ids))
    size = max(1, int(_CHUNK_BYTES / max(1.0, bytes_a_run)))
    for first in range(0, len(run_ids), size):
        yield list(run_ids[first : first + size])


def _copy_rows(
    source: StoreLayout, target: StoreLayout, table: TableName, complete: dict[str, int | None]
) -> None:
    runs = {run_id: MergedRun(complete=attempt) for run_id, attempt in complete.items()}
    if runs:
        chunks = (read_table(source, table, chunk) for chunk in _chunks(source, table, list(runs)))
        publish_merged(target, table, runs, chunks)


def _copy_new_rows(
    source: StoreLayout, target: StoreLayout, table: TableName, complete: dict[str, int | None]
) -> int:
    """Publish the rows that the target lacks; return how many."""
    held = take_snapshot(target, table, complete)
    known = {r for r in complete if target.run(r).part_names(table)}.union(*(f.runs for f in held.merged))
    bringing: Counter[str] = Counter()
    for chunk in _chunks(source, table, list(complete)):
        bringing.update(_compare(source, target, table, chunk, _NEW)["run_id"].to_pylist())
    if bringing:
        runs = {r: MergedRun(complete=None if r in known else complete[r]) for r in sorted(bringing)}
        news = (_compare(source, target, table, c, _NEW) for c in _chunks(source, table, list(runs)))
        # A unique name: the same runs may add other rows another time.
        publish_merged(target, table, runs, (r.cast(SCHEMAS[table]) for r in news), name=uuid.uuid4().hex)
    return bringing.total()


_DIFFERENT = """
    SELECT DISTINCT theirs.run_id FROM theirs JOIN ours ON {same_key} AND theirs.attempt = ours.attempt
    WHERE NOT ({same_row})
"""
_NEW = """
    SELECT theirs.* FROM theirs
    LEFT JOIN cuts ON theirs.run_id = cuts.run_id AND theirs.attempt = cuts.attempt
    WHERE (cuts.last_tau IS NULL OR theirs.tau <= cuts.last_tau)
    AND NOT EXISTS (SELECT 1 FROM ours WHERE {same_key} AND ours.attempt >= theirs.attempt)
"""


def _compare(
    source: StoreLayout, target: StoreLayout, table: TableName, run_ids: Sequence[str], sql: str
) -> pa.Table:
    """Compare the rows of both stores; the attempt rule is applied only to those of the source."""
    same_key = equal("theirs", "ours", KEYS[table])
    same_row = equal("theirs", "ours", SCHEMAS[table].names)
    theirs = read_table(source, table, run_ids)
    held = take_snapshot(target, table, run_ids)
    fragments = [*held.parts.values(), *(file.fragment for file in held.merged)]
    with closed_connection() as connection:
        connection.register("theirs", theirs)
        connection.register("held", dataset(fragments, table))
        connection.register("cuts", cuts_table(target, run_ids))
        connection.execute(
            f"CREATE VIEW ours AS SELECT * FROM held WHERE run_id IN ({', '.join(map(literal, run_ids))})"  # noqa: S608
        )
        return connection.sql(sql.format(same_key=same_key, same_row=same_row)).to_arrow_table()


def _record_problem(theirs: RunDirectory, ours: RunDirectory) -> str | None:
    """Why a run cannot be merged, as far as its records show."""
    if not ours.spec.exists():
        return None
    if read_record(theirs.spec) != read_record(ours.spec):
        return "another spec"
    last = last_attempt(ours)
    if last is not None and Watch().alive(ours, last) is not False:
        return "is being executed"
    for number in set(theirs.attempt_numbers()).intersection(ours.attempt_numbers()):
        one, other = read_attempt(theirs, number), read_attempt(ours, number)
        if (one.started, one.process) != (other.started, other.process):
            return f"attempt {number} is a different execution"
    return None


def _copy_records(theirs: RunDirectory, ours: RunDirectory) -> int:
    """Copy the spec, and attempts that are missing or had not ended; return how many."""
    if not ours.spec.exists():
        write_record(ours.spec, read_record(theirs.spec))
    copied = 0
    for number in theirs.attempt_numbers():
        record = read_attempt(theirs, number)
        if not ours.attempt(number).exists() or (record.ended and not read_attempt(ours, number).ended):
            write_attempt(ours, record)
            copied += 1
    return copied


def _copy_checkpoint(theirs: RunDirectory, ours: RunDirectory) -> None:
    for tau in theirs.checkpoint_taus()[-1:]:
        digest = read(theirs.checkpoint_digest(tau))
        content = read(theirs.checkpoint(tau))
        publish(ours.checkpoint_digest(tau), partial(_write, digest))
        publish(ours.checkpoint(tau), partial(_write, content))


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _merged_sweep(source: StoreLayout, target: StoreLayout, name: str) -> dict[str, Any] | None:
    """The record to write for a sweep; None if the target's record is complete.

    Raises:
        InputError: a sweep of this name has other runs, and neither contains the other.
    """
    theirs = read_record(source.sweep(name), "run_ids")
    if not target.sweep(name).exists():
        return theirs
    ours = read_record(target.sweep(name), "run_ids")
    if set(theirs["run_ids"]) <= set(ours["run_ids"]):
        return None
    if set(ours["run_ids"]) <= set(theirs["run_ids"]):
        return theirs
    raise InputError(
        f"sweep {name}: {source.root} and {target.root} have different sweeps with this name; rename one"
    )
