"""Checks a store for damage and foreign files, and moves them to quarantine on request.

Called by `tausweep store check`. The caller passes a function that checks whether settings hash to a run id.
Nothing is written without a repair. A repair removes only what carries no data: stale claims and old
temporary files. Everything else that is bad moves to quarantine.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from tausweep.storage.attempts.liveness import is_live
from tausweep.storage.attempts.records import last_attempt, read_attempt, read_claim
from tausweep.storage.errors import StoreError, TausweepError
from tausweep.storage.files.atomic import make_folder, sync_folder
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import TABLES, PartName, RunDirectory, StoreLayout, TableName, is_temporary
from tausweep.storage.tables.parquet import open_merged, read_through, replaced_parts

Kind = Literal["damaged", "missing", "orphan", "stale claim", "temporary"]
TEMPORARY_SECONDS = 3600.0
"""A temporary file that was not written for so long is nobody's: writers publish within seconds."""

CheckSpec = Callable[[str, dict[str, Any]], object]
"""Raises a TausweepError if settings do not belong to a run id."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem with a store.

    Attributes:
        kind: the kind of file or problem.
        path: the file or folder.
        message: what is wrong with it.
        remedy: what a repair does; None if it can do nothing.
    """

    kind: Kind
    path: Path
    message: str
    remedy: Literal["quarantine", "remove"] | None = None


def check(layout: StoreLayout, check_spec: CheckSpec) -> Iterator[Finding]:
    """Find all problems of a store; writes nothing.

    Checks specs, records, digests, schemas and page checksums, which reads the whole store once. Files that
    change meanwhile because workers continue are not reported.

    Args:
        layout: the store.
        check_spec: called with a run id and the settings of its spec.
    """
    for table in TABLES:
        for path in layout.merged_files(table):
            yield from _unreadable(path, read_through, path, table)
    held = {table: _held(layout, table) for table in TABLES}
    for run_id in layout.run_ids():
        run = layout.run(run_id)
        yield from _check_records(run, check_spec)
        yield from _check_checkpoints(run)
        for table in TABLES:
            yield from _check_parts(run, table, held[table])
    yield from _check_sweeps(layout)
    yield from _check_names(layout)


def _held(layout: StoreLayout, table: TableName) -> dict[str, set[PartName]]:
    """Runs with rows in merged files, and the parts that these files replace.

    Unreadable files count as empty.
    """
    files = []
    for path in layout.merged_files(table):
        with suppress(StoreError, FileNotFoundError):
            files.append(open_merged(path, table))
    return replaced_parts(files)


def _unreadable(
    path: Path,
    read: Callable[..., object],
    *arguments: object,
    remedy: Literal["quarantine"] | None = "quarantine",
) -> Iterator[Finding]:
    try:
        read(*arguments)
    except FileNotFoundError:  # gone meanwhile
        return
    except (TausweepError, IsADirectoryError) as error:
        message = str(error).removeprefix(f"{path}: ")
        yield Finding(kind="damaged", path=path, message=message, remedy=remedy)


def _check_records(run: RunDirectory, check_spec: CheckSpec) -> Iterator[Finding]:
    def read_spec() -> None:
        check_spec(run.run_id, read_record(run.spec, "run_id", "p", "settings")["settings"])

    # A run that is being created has only a temporary file so far.
    if not run.spec.exists() and any(not is_temporary(path) for path in run.files()):
        message = "a run directory without a spec"
        yield Finding(kind="orphan", path=run.path, message=message, remedy="quarantine")
    yield from _unreadable(run.spec, read_spec)
    numbers = run.attempt_numbers()
    for number in numbers:
        # Not moved: otherwise a new attempt would take its number, for which parts exist.
        yield from _unreadable(run.attempt(number), read_attempt, run, number, remedy=None)
    for number in _gaps([0, *numbers]):
        yield Finding(kind="missing", path=run.attempt(number), message="a later attempt exists")
    yield from _unreadable(run.claim, read_claim, run)
    if run.claim.exists() and not _live(run) and run.claim.exists():
        message = "the attempt it belongs to is not running"
        yield Finding(kind="stale claim", path=run.claim, message=message, remedy="remove")


def _succeeded(run: RunDirectory) -> bool:
    try:
        record = last_attempt(run)
    except StoreError:
        return False
    return record is not None and record.state == "succeeded"


def _live(run: RunDirectory) -> bool:
    try:
        record = last_attempt(run)
        return record is not None and is_live(run, record)
    except StoreError:
        return False


def _gaps(numbers: list[int]) -> list[int]:
    """Numbers missing between the first and the last."""
    return [gap for low, high in pairwise(numbers) for gap in range(low + 1, high)]


def _check_checkpoints(run: RunDirectory) -> Iterator[Finding]:
    for tau in run.checkpoint_taus():
        path, digest = run.checkpoint(tau), run.checkpoint_digest(tau)
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            expected = digest.read_text()
        except FileNotFoundError:
            if not path.exists():  # meanwhile removed in favour of a newer one
                continue
            expected = "missing"
        if actual != expected:
            message = f"its sha256 is {actual}, its digest file says {expected or 'nothing'}"
            yield Finding(kind="damaged", path=path, message=message, remedy="quarantine")


def _check_parts(run: RunDirectory, table: TableName, held: dict[str, set[PartName]]) -> Iterator[Finding]:
    names = run.part_names(table)
    for name in names:
        path = run.part(table, name)
        yield from _unreadable(path, read_through, path, table)
    missing = _missing(names, held.get(run.run_id, set()))
    if missing:  # a compaction may meanwhile have removed some
        missing = _missing(names, _held(run.store, table).get(run.run_id, set()))
    for name in missing:
        message = "a later part exists, and no merged file contains this one"
        yield Finding(kind="missing", path=run.part(table, name), message=message)
    empty = table == "metrics" and not names and run.run_id not in held and _succeeded(run)
    if empty and run.run_id not in _held(run.store, table):
        message = "the run has succeeded, but the store has none of its measurements"
        yield Finding(kind="missing", path=run.table(table), message=message)


def _missing(names: Iterable[PartName], replaced: set[PartName]) -> list[PartName]:
    sequences: dict[int, list[int]] = {}
    for name in sorted(replaced.union(names)):
        sequences.setdefault(name.attempt, [-1]).append(name.seq)
    return [
        PartName(attempt=attempt, seq=seq)
        for attempt, sequence in sequences.items()
        for seq in _gaps(sequence)
    ]


def _check_sweeps(layout: StoreLayout) -> Iterator[Finding]:
    present = set(layout.run_ids())
    for name in layout.sweep_names():
        path = layout.sweep(name)
        yield from _unreadable(path, read_record, path, "run_ids", "axes", "resources")
        try:
            run_ids = read_record(path, "run_ids")["run_ids"]
        except (StoreError, FileNotFoundError):
            continue
        for run_id in run_ids:
            if run_id not in present:
                yield Finding(kind="missing", path=layout.run(run_id).path, message=f"sweep {name} names it")
    for job_id in layout.job_ids():
        path = layout.job(job_id)
        yield from _unreadable(path, read_record, path)


def _check_names(layout: StoreLayout) -> Iterator[Finding]:
    now = time.time()
    for path in layout.walk():
        if is_temporary(path):
            try:
                age = now - path.stat().st_mtime
            except FileNotFoundError:
                continue
            if age > TEMPORARY_SECONDS:
                message = f"left by a writer that died {age / 3600:.0f} h ago"
                yield Finding(kind="temporary", path=path, message=message, remedy="remove")
        elif not layout.explains(path):
            message = "not the name of any file of a store"
            yield Finding(kind="orphan", path=path, message=message, remedy="quarantine")


def repair(layout: StoreLayout, finding: Finding) -> str:
    """Remove the stale or move the bad file of a finding; return what was done.

    A file that is moved keeps its path below `quarantine/<day>/`, with a number at its end if that place is
    taken.
    """
    if finding.remedy is None or not finding.path.exists():
        return "nothing could be done" if finding.remedy is None else "gone meanwhile"
    if finding.remedy == "remove":
        finding.path.unlink(missing_ok=True)
        return "removed"
    moved = []
    for path in (finding.path, *layout.companions(finding.path)):
        target = layout.quarantined(path, time.strftime("%Y-%m-%d"))
        make_folder(target.parent)
        path.rename(target)
        sync_folder(target.parent)
        sync_folder(path.parent)
        moved.append(target)
    return f"moved to {moved[0]}"
