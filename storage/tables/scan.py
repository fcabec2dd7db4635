"""Reads the store's tables as Arrow, with the attempt rule applied, while writers and compaction continue.

For each (run, tau, metric, t) the highest attempt wins, and rows of an attempt past the tau from which a
later attempt resumed are dropped: those steps were trained again. DuckDB never opens a file itself: files
reach it as Arrow data sets, and its access to anything outside is switched off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.dataset as pds

from tausweep.storage.errors import InputError, StoreError
from tausweep.storage.files.object_store import each
from tausweep.storage.layout import StoreLayout, TableName
from tausweep.storage.tables.parquet import MergedFile, dataset, open_merged, open_part, read_through
from tausweep.storage.tables.record_tables import cuts_table
from tausweep.storage.tables.schemas import KEYS, SCHEMAS

TRIES = 10
"""How often a reader looks again because a compaction took files away meanwhile."""
_PUSHED_DOWN = (
    64  # up to so many run ids are compared with the statistics of row groups; more are joined instead
)

SCAN_ERRORS = (duckdb.InvalidInputException,)
"""What DuckDB raises where Arrow could not read a file; also some mistakes in SQL."""

Bad = list[StoreError]
"""Collects what is wrong with files that a reader leaves out."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of a table at one moment, for some runs.

    Attributes:
        settled: runs whose counting rows are all in one merged file, and which no attempt has resumed since.
        unsettled: the other runs; their rows need the attempt rule.
        merged: merged files with rows of either kind of run.
        parts: opened parts of the unsettled runs, by their paths.
        left_out: errors of files that should be among these.
    """

    table: TableName
    settled: set[str]
    unsettled: set[str]
    merged: list[MergedFile]
    parts: dict[Path, pds.ParquetFileFragment]
    left_out: Bad

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [*(file.path for file in self.merged), *self.parts]


def _opened(
    layout: StoreLayout,
    paths: Sequence[Path],
    table: TableName,
    open_file: Callable[[Path, TableName], T],
    bad: Bad | None,
) -> dict[Path, T]:
    def opened(path: Path) -> T | StoreError:
        if bad is None:
            return open_file(path, table)
        try:
            read_through(path, table)
            return open_file(path, table)
        except StoreError as error:
            return error

    files = {}
    for path, file in zip(paths, each(layout.root, opened, paths), strict=True):
        if isinstance(file, StoreError):
            assert bad is not None
            bad.append(file)
        else:
            files[path] = file
    return files


def _look(layout: StoreLayout, table: TableName, run_ids: set[str], skip_bad: bool) -> Snapshot:
    left_out: Bad = []
    bad = left_out if skip_bad else None
    files = _opened(layout, layout.merged_files(table), table, open_merged, bad).values()
    merged = [file for file in files if not run_ids.isdisjoint(file.runs)]
    holders = Counter(run_id for file in merged for run_id in file.runs)
    following = {
        run_id: complete + 1
        for file in merged
        for run_id in file.runs
        if run_id in run_ids and holders[run_id] == 1 and (complete := file.complete(run_id)) is not None
    }
    settled = layout.without_attempt(following)
    unsettled = run_ids - settled
    listed = each(layout.root, lambda run_id: layout.run(run_id).parts(table), sorted(unsettled))
    parts = [part for of_run in listed for part in of_run]
    return Snapshot(
        table=table,
        settled=settled,
        unsettled=unsettled,
        merged=merged,
        parts=_opened(layout, parts, table, open_part, bad),
        left_out=left_out,
    )


def take_snapshot(
    layout: StoreLayout, table: TableName, run_ids: Iterable[str], *, skip_bad: bool = False
) -> Snapshot:
    """Find the files of a table without missing a published row.

    Parts vanish only after a merged file with their rows was published. So no part was missed if listing the
    parts did not add merged files.

    Args:
        layout: the store.
        table: which table.
        run_ids: the runs to read.
        skip_bad: whether to read every file completely and leave out damaged or foreign ones.

    Raises:
        CorruptFileError, SchemaError: a file cannot be read; it is named.
        StoreError: the store changes faster than it can be read.
    """
    wanted = set(run_ids)
    for _ in range(TRIES):
        before = layout.merged_files(table)
        try:
            snapshot = _look(layout, table, wanted, skip_bad)
        except FileNotFoundError:
            continue
        if layout.merged_files(table) == before:
            return snapshot
    raise StoreError(f"{layout.root}: compacted {TRIES} times while reading {table}; try again")


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def equal(left: str, right: str, columns: Iterable[str]) -> str:
    """A condition in SQL: two tables agree in some columns, nulls being equal to nulls."""
    return " AND ".join(f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in columns)


def _among(connection: duckdb.DuckDBPyConnection, name: str, run_ids: set[str]) -> str:
    """A condition on run_id."""
    if len(run_ids) <= _PUSHED_DOWN:
        return f"run_id IN ({', '.join(map(literal, sorted(run_ids))) or 'NULL'})"
    connection.register(name, pa.table({"run_id": pa.array(sorted(run_ids))}))
    return f"run_id IN (SELECT run_id FROM {name})"  # noqa: S608 - a name of this module


def create_views(
    connection: duckdb.DuckDBPyConnection, layout: StoreLayout, snapshots: Sequence[Snapshot]
) -> None:
    """Make a view of each table under the table's name, with the attempt rule applied."""
    unsettled = {run_id for snapshot in snapshots for run_id in snapshot.unsettled}
    connection.register("_cuts", cuts_table(layout, sorted(unsettled)))
    for snapshot in snapshots:
        table, keys = snapshot.table, ", ".join(f"part.{key}" for key in KEYS[snapshot.table])
        whole = [file for file in snapshot.merged if not snapshot.settled.isdisjoint(file.runs)]
        mixed = [file for file in snapshot.merged if not snapshot.unsettled.isdisjoint(file.runs)]
        selects = []
        if whole:
            connection.register(f"_{table}_whole", dataset((file.fragment for file in whole), table))
            condition = "true"
            if any(not snapshot.settled.issuperset(file.runs) for file in whole):
                condition = _among(connection, f"_{table}_settled", snapshot.settled)
            selects.append(f"SELECT * FROM _{table}_whole WHERE {condition}")  # noqa: S608
        if snapshot.parts or mixed or not selects:
            fragments = [*snapshot.parts.values(), *(file.fragment for file in mixed)]
            connection.register(f"_{table}_files", dataset(fragments, table))
            condition = _among(connection, f"_{table}_unsettled", snapshot.unsettled) if mixed else "true"
            selects.append(f"""
                SELECT part.* FROM (SELECT * FROM _{table}_files WHERE {condition}) AS part
                LEFT JOIN _cuts ON part.run_id = _cuts.run_id AND part.attempt = _cuts.attempt
                WHERE _cuts.last_tau IS NULL OR part.tau <= _cuts.last_tau
                QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY part.attempt DESC) = 1
            """)  # noqa: S608 - names of this module only
        connection.execute(f"CREATE VIEW {table} AS {' UNION ALL '.join(selects)}")


def closed_connection() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB without access to files, network, Python variables or the terminal."""
    connection = duckdb.connect(
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",  # by default a big sort would leave a folder `.tmp` in the working directory
        }
    )
    # By default a slow query prints a progress bar, even where stdout is a file. A notebook without
    # ipywidgets has none, and DuckDB then refuses this setting.
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        connection.execute("SET enable_progress_bar = false")
    return connection


def vanished(snapshots: Iterable[Snapshot]) -> bool:
    """Whether a scan failed because a compaction removed a file meanwhile, so that it should be repeated.

    Raises:
        CorruptFileError: a file is damaged; DuckDB does not name it.
    """
    try:
        for snapshot in snapshots:
            for path in snapshot.paths:
                read_through(path, snapshot.table)
    except FileNotFoundError:
        return True
    return False


def _conditions(
    metrics: Iterable[str] | None, tau: tuple[int | None, int | None] | None, table: TableName
) -> list[str]:
    conditions = []
    if metrics is not None:
        if "metric" not in KEYS[table]:
            raise InputError(f"table {table}: this table has no column metric")
        conditions.append(f"metric IN ({', '.join(map(literal, metrics)) or 'NULL'})")
    for sign, bound in zip((">=", "<="), tau or (), strict=False):
        if bound is not None:
            conditions.append(f"tau {sign} {int(bound)}")
    return conditions


def read_table(
    layout: StoreLayout,
    table: TableName,
    run_ids: Iterable[str] | None = None,
    *,
    metrics: Iterable[str] | None = None,
    tau: tuple[int | None, int | None] | None = None,
    columns: Sequence[str] | None = None,
    bad: Bad | None = None,
) -> pa.Table:
    """Read a table with the attempt rule applied, sorted by its key.

    Rows that are not asked for are skipped where the statistics of files and row groups allow it.

    Args:
        layout: the store.
        table: which table.
        run_ids: only these runs; all by default.
        metrics: only metrics of these names.
        tau: smallest and largest tau, both included; None leaves a side open.
        columns: only these columns, in this order.
        bad: collects the errors of damaged or foreign files, which are then left out.

    Returns:
        An Arrow table with columns of `storage.tables.schemas.SCHEMAS[table]`; `.to_pandas()` for pandas,
        `polars.from_arrow` for polars, and DuckDB finds it by the name of its variable.

    Raises:
        CorruptFileError, SchemaError: a file cannot be read; it is named.
        InputError: a column does not exist.
    """
    names = list(SCHEMAS[table].names if columns is None else columns)
    if unknown := sorted(set(names) - set(SCHEMAS[table].names)):
        raise InputError(
            f"table {table}: no column {', '.join(unknown)}; it has {', '.join(SCHEMAS[table].names)}"
        )
    where = " AND ".join(_conditions(metrics, tau, table)) or "true"
    present = set(layout.run_ids())
    chosen = present if run_ids is None else present.intersection(run_ids)
    sql = f"SELECT {', '.join(names)} FROM {table} WHERE {where} ORDER BY {', '.join(KEYS[table])}"  # noqa: S608
    for _ in range(TRIES):
        snapshot = take_snapshot(layout, table, chosen, skip_bad=bad is not None)
        with closed_connection() as connection:
            create_views(connection, layout, [snapshot])
            try:
                rows = connection.sql(sql).to_arrow_table()
            except SCAN_ERRORS:
                if not vanished([snapshot]):
                    raise
                continue
        if bad is not None:
            bad.extend(snapshot.left_out)
        return rows.cast(pa.schema([SCHEMAS[table].field(name) for name in names], SCHEMAS[table].metadata))
    raise StoreError(f"{layout.root}: compacted {TRIES} times while reading {table}; try again")
