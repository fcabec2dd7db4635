"""SQL over the store: one SELECT over named views, and nothing else.

Called by `tausweep query`. `storage.tables.scan` and `storage.tables.record_tables` make the views and define
their meaning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from tausweep.storage.errors import InputError, StoreError
from tausweep.storage.layout import TABLES, StoreLayout
from tausweep.storage.tables.record_tables import attempts_table, runs_table, sweeps_table
from tausweep.storage.tables.scan import (
    SCAN_ERRORS,
    TRIES,
    Bad,
    Snapshot,
    closed_connection,
    create_views,
    literal,
    take_snapshot,
    vanished,
)

View = Literal["runs", "attempts", "sweeps", "metrics", "neighbours", "samples", "evaluations"]
VIEWS: tuple[View, ...] = ("runs", "attempts", "sweeps", "metrics", "neighbours", "samples", "evaluations")
_HELP = f"Views: {', '.join(VIEWS)}"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The views to make, the runs they are restricted to, and the files of their tables."""

    views: set[View]
    run_ids: list[str]
    snapshots: list[Snapshot]

    @classmethod
    def of(
        cls,
        layout: StoreLayout,
        views: Iterable[View],
        run_ids: Iterable[str] | None,
        *,
        skip_bad: bool = False,
    ) -> _Wanted:
        wanted = set(views)
        if "evaluations" in wanted:
            wanted |= {"metrics", "runs"}
        present = layout.run_ids()
        chosen = present if run_ids is None else sorted(set(present).intersection(run_ids))
        snapshots = [
            take_snapshot(layout, table, chosen, skip_bad=skip_bad) for table in TABLES if table in wanted
        ]
        return cls(views=wanted, run_ids=chosen, snapshots=snapshots)


def _make_views(connection: duckdb.DuckDBPyConnection, layout: StoreLayout, wanted: _Wanted) -> None:
    if "runs" in wanted.views:
        connection.register("runs", runs_table(layout, wanted.run_ids))
    if "sweeps" in wanted.views:
        connection.register("sweeps", sweeps_table(layout))
    if "attempts" in wanted.views:
        connection.register("attempts", attempts_table(layout, wanted.run_ids))
    create_views(connection, layout, wanted.snapshots)
    if "evaluations" in wanted.views:
        _create_evaluations(connection)
    connection.execute("SET lock_configuration = true")


def _create_evaluations(connection: duckdb.DuckDBPyConnection) -> None:
    """One row per run and tau, one column per metric (`test_loss_t150`), the run's columns joined."""
    measured_metrics = connection.execute(
        "SELECT DISTINCT metric, t FROM metrics ORDER BY metric, t"
    ).fetchall()
    columns = []
    for metric, t in measured_metrics:
        name = str(metric).replace('"', '""')
        at = "t IS NULL" if t is None else f"t = {t}"
        suffix = "" if t is None else f"_t{t:g}"
        columns.append(
            f'max(value) FILTER (WHERE metric = {literal(str(metric))} AND {at}) AS "{name}{suffix}"'
        )
    measured = ", ".join(["run_id", "tau", "max(images_seen) AS images_seen", *columns])
    connection.execute(f"""
        CREATE VIEW evaluations AS
        SELECT measured.*, runs.* EXCLUDE (run_id, tau, attempt, failure, error)
        FROM (SELECT {measured} FROM metrics GROUP BY run_id, tau) AS measured
        JOIN runs USING (run_id)
    """)  # noqa: S608 - literals are quoted above


@contextmanager
def _interrupted_at(connection: duckdb.DuckDBPyConnection, deadline: float | None) -> Iterator[None]:
    """Interrupt a connection once the monotonic clock has reached the deadline."""
    if deadline is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        # More than once: an interrupt between two statements stops neither.
        seconds = max(0.0, deadline - time.monotonic())
        while not done.wait(seconds):
            connection.interrupt()
            seconds = 0.05

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _answer(
    layout: StoreLayout, sql: str, run_ids: Iterable[str] | None, deadline: float | None, bad: Bad | None
) -> pa.Table:
    views = [view for view in VIEWS if view in sql.lower()] or VIEWS
    for _ in range(TRIES):
        wanted = _Wanted.of(layout, views, run_ids, skip_bad=bad is not None)
        with closed_connection() as connection, _interrupted_at(connection, deadline):
            try:
                _make_views(connection, layout, wanted)
                answer = connection.sql(sql).to_arrow_table()
            except SCAN_ERRORS:
                if not vanished(wanted.snapshots):
                    raise
                continue
        if bad is not None:
            bad.extend(error for snapshot in wanted.snapshots for error in snapshot.left_out)
        return answer
    raise StoreError(f"{layout.root}: compacted {TRIES} times while reading; try again")


def query(
    layout: StoreLayout,
    sql: str,
    *,
    run_ids: Sequence[str] | None = None,
    timeout: float | None = None,
    bad: Bad | None = None,
) -> pa.Table:
    """Answer one SELECT over the views; nothing else is executed.

    Args:
        layout: the store.
        sql: the SELECT statement.
        run_ids: restricts every view but sweeps to these runs; all by default.
        timeout: seconds after which the query is given up; files that are being opened are still opened.
        bad: collects the errors of damaged or foreign files, which are then left out.

    Raises:
        InputError: the SQL is not a single SELECT; DuckDB refuses it (the message has the reason and the
            views); two columns of the answer have the same name; or the time is over.
        CorruptFileError, SchemaError: a file cannot be read; it is named.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        statements = duckdb.extract_statements(sql)
        # EXPLAIN is refused: with ANALYZE it executes whatever follows.
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"query: exactly one SELECT is allowed, the store is read-only. {_HELP}")
        answer = _answer(layout, sql, run_ids, deadline, bad)
    except duckdb.InterruptException as error:
        raise InputError(
            f"query: not answered within {timeout:g} s; ask for less, or give --timeout more"
        ) from error
    except duckdb.Error as error:
        raise InputError(f"query: {error}\n{_HELP}") from error
    names = answer.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"query: more than one column is named {', '.join(twice)}; rename with AS, or leave out with EXCLUDE"
        )
    return answer
