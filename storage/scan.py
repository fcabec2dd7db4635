"""Reads the store's tables: Arrow in, Arrow out, with the attempt rule applied; and SQL over the same views.

For each (run, tau, metric, t) the highest attempt wins, and rows of an attempt past the tau from which a later
attempt resumed are dropped: they belong to a future that was trained again. DuckDB never opens a file itself: parts
reach it as an Arrow data set, and its access to anything outside is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from storage.atomic import read_record
from storage.attempts import AttemptRecord, read_attempt, run_status
from storage.errors import CorruptFileError, InputError, SchemaError
from storage.layout import TABLES, StoreLayout, TableName
from storage.schemas import KEYS, SCHEMAS

View = Literal["runs", "attempts", "sweeps", "metrics", "neighbours", "samples", "evaluations"]
VIEWS: tuple[View, ...] = ("runs", "attempts", "sweeps", "metrics", "neighbours", "samples", "evaluations")

_FORMAT = pds.ParquetFileFormat(
    default_fragment_scan_options=pds.ParquetFragmentScanOptions(page_checksum_verification=True)
)

_RUN_COLUMNS: dict[str, pa.DataType] = {
    "run_id": pa.string(),
    "state": pa.string(),
    "attempt": pa.int64(),
    "tau": pa.int64(),
    "failure": pa.string(),
    "error": pa.string(),
    "p": pa.int64(),
}
_ATTEMPT_COLUMNS: dict[str, pa.DataType] = {
    "run_id": pa.string(),
    "attempt": pa.int64(),
    "state": pa.string(),
    "started": pa.float64(),
    "ended": pa.float64(),
    "seconds": pa.float64(),
    "host": pa.string(),
    "pid": pa.int64(),
    "job_id": pa.string(),
    "resumed_from_tau": pa.int64(),
    "tau": pa.int64(),
    "failure": pa.string(),
    "error": pa.string(),
    "retry": pa.bool_(),
}
_SWEEP_COLUMNS: dict[str, pa.DataType] = {
    "sweep": pa.string(),
    "run_id": pa.string(),
    "updated": pa.float64(),
}


def _table(rows: Sequence[dict[str, Any]], known: dict[str, pa.DataType]) -> pa.Table:
    """Rows of JSON values as a table; columns beyond the known ones take the type their values have."""
    names = dict.fromkeys(known) | dict.fromkeys(name for row in rows for name in row)
    arrays = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name not in known and len({type(v) for v in values if v is not None}) > 1:
            values = [None if v is None else str(v) for v in values]  # batch: 64 beside "min(512, n)"
        arrays[name] = pa.array(values, type=known.get(name))
    return pa.table(arrays)


def runs_table(layout: StoreLayout, run_ids: Iterable[str] | None = None) -> pa.Table:
    """One row a run: id, state, p and the flat settings as columns (null where a run has no such setting)."""
    rows = []
    for run_id in layout.run_ids() if run_ids is None else run_ids:
        run = layout.run(run_id)
        if not run.spec.exists():
            continue
        spec = read_record(run.spec, "p", "settings")
        status = run_status(run)
        rows.append(
            {
                "run_id": run_id,
                "state": status.state,
                "attempt": status.attempt,
                "tau": status.tau,
                "failure": status.failure,
                "error": status.error,
                "p": spec["p"],
                **spec["settings"],
            }
        )
    return _table(rows, _RUN_COLUMNS)


def _attempts(layout: StoreLayout, run_ids: Iterable[str]) -> list[tuple[str, AttemptRecord]]:
    return [
        (run_id, read_attempt(layout.run(run_id), number))
        for run_id in run_ids
        for number in layout.run(run_id).attempt_numbers()
    ]


def _attempts_table(attempts: Iterable[tuple[str, AttemptRecord]]) -> pa.Table:
    rows = []
    for run_id, record in attempts:
        row = record.model_dump(
            mode="json", exclude={"process", "provenance", "traceback", "scheduler_state"}
        )
        row["run_id"] = run_id
        row["host"], row["pid"] = record.process.host, record.process.pid
        row["seconds"] = None if record.ended is None else record.ended - record.started
        row |= {
            key: value
            for key, value in record.provenance.items()
            if isinstance(value, str | int | float | bool)
        }
        rows.append(row)
    return _table(rows, _ATTEMPT_COLUMNS)


def _sweeps_table(layout: StoreLayout) -> pa.Table:
    rows = [
        {"sweep": name, "run_id": run_id, "updated": record["updated"]}
        for name in layout.sweep_names()
        for record in [read_record(layout.sweep(name), "run_ids", "updated")]
        for run_id in record["run_ids"]
    ]
    return _table(rows, _SWEEP_COLUMNS)


def _cuts(attempts: Iterable[tuple[str, AttemptRecord]]) -> pa.Table:
    """For each attempt the last tau whose rows count: the smallest tau from which a later attempt resumed."""
    cuts: dict[tuple[str, int], int] = {}
    lowest: dict[str, int] = {}
    for run_id, record in sorted(attempts, key=lambda item: -item[1].attempt):
        if run_id in lowest:
            cuts[run_id, record.attempt] = lowest[run_id]
        if record.resumed_from_tau is not None:
            lowest[run_id] = min(lowest.get(run_id, record.resumed_from_tau), record.resumed_from_tau)
    columns = {
        "run_id": [run_id for run_id, _ in cuts],
        "attempt": [attempt for _, attempt in cuts],
        "last_tau": list(cuts.values()),
    }
    kinds = [("run_id", pa.string()), ("attempt", pa.int64()), ("last_tau", pa.int64())]
    return pa.table(columns, schema=pa.schema(kinds))


def parts(layout: StoreLayout, table: TableName, run_ids: Iterable[str]) -> pds.Dataset:
    """The raw parts of a table, each checked to carry this version's schema.

    Raises:
        CorruptFileError: a part is truncated or no Parquet file; named.
        SchemaError: a part has another schema; named.
    """
    schema = SCHEMAS[table]
    files = [str(part) for run_id in run_ids for part in layout.run(run_id).parts(table)]
    for file in files:
        try:
            found = pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptFileError(f"{file}: not a whole Parquet file ({error})") from error
        if not found.equals(schema, check_metadata=False) or found.metadata != schema.metadata:
            raise SchemaError(
                f"{file}: has another schema than table {table!r} of this version; found {found.names}"
            )
    return pds.dataset(files, schema=schema, format=_FORMAT)


def _require_undamaged(layout: StoreLayout, tables: Iterable[TableName], run_ids: Iterable[str]) -> None:
    """Read all parts, to name the one that made a scan fail (DuckDB does not)."""
    for table in tables:
        for fragment in parts(layout, table, run_ids).get_fragments():
            try:
                fragment.to_table()
            except (pa.ArrowInvalid, OSError) as error:
                raise CorruptFileError(f"{fragment.path}: damaged ({error})") from error


def connect(
    layout: StoreLayout, *, run_ids: Iterable[str] | None = None, views: Iterable[View] = VIEWS
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the store's views, which can reach nothing else.

    Args:
        layout: the store.
        run_ids: restricts every view but sweeps to these runs; all by default.
        views: the views that are needed; the others are not made, and their files not looked at.
    """
    wanted = set(views)
    if "evaluations" in wanted:
        wanted |= {"metrics", "runs"}
    chosen = layout.run_ids() if run_ids is None else sorted(set(run_ids) & set(layout.run_ids()))
    connection = duckdb.connect(
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",  # by default a big sort would leave the folder `.tmp` where the user stands
        }
    )
    if "runs" in wanted:
        connection.register("runs", runs_table(layout, chosen))
    if "sweeps" in wanted:
        connection.register("sweeps", _sweeps_table(layout))
    measured = [table for table in TABLES if table in wanted]
    if measured or "attempts" in wanted:
        attempts = _attempts(layout, chosen)
        connection.register("attempts", _attempts_table(attempts))
        connection.register("_cuts", _cuts(attempts))
    for table in measured:
        connection.register(f"_{table}_parts", parts(layout, table, chosen))
        keys = ", ".join(KEYS[table])
        connection.execute(f"""
            CREATE VIEW {table} AS
            SELECT part.* FROM _{table}_parts AS part
            LEFT JOIN _cuts ON part.run_id = _cuts.run_id AND part.attempt = _cuts.attempt
            WHERE _cuts.last_tau IS NULL OR part.tau <= _cuts.last_tau
            QUALIFY row_number() OVER (PARTITION BY part.{keys.replace(", ", ", part.")} ORDER BY part.attempt DESC) = 1
        """)  # noqa: S608 - names of this module only
    if "evaluations" in wanted:
        _create_evaluations(connection)
    connection.execute("SET lock_configuration = true")
    return connection


def _create_evaluations(connection: duckdb.DuckDBPyConnection) -> None:
    """One row a run and tau, one column a metric (`test_loss_t150`), the run's columns joined."""
    found = connection.execute("SELECT DISTINCT metric, t FROM metrics ORDER BY metric, t").fetchall()
    columns = []
    for metric, t in found:
        name, literal = str(metric).replace('"', '""'), str(metric).replace("'", "''")
        at = "t IS NULL" if t is None else f"t = {t}"
        suffix = "" if t is None else f"_t{t:g}"
        columns.append(f"max(value) FILTER (WHERE metric = '{literal}' AND {at}) AS \"{name}{suffix}\"")
    measured = ", ".join(["run_id", "tau", "max(images_seen) AS images_seen", *columns])
    connection.execute(f"""
        CREATE VIEW evaluations AS
        SELECT measured.*, runs.* EXCLUDE (run_id, tau, attempt, failure, error)
        FROM (SELECT {measured} FROM metrics GROUP BY run_id, tau) AS measured
        JOIN runs USING (run_id)
    """)  # noqa: S608 - literals are quoted above


def read_table(layout: StoreLayout, table: TableName, run_ids: Iterable[str]) -> pa.Table:
    """A table of some runs, the attempt rule applied, sorted by its key.

    Returns:
        An Arrow table with the columns of `storage.schemas.SCHEMAS[table]`.

    Raises:
        CorruptFileError, SchemaError: a part can't be read; named.
    """
    run_ids = list(run_ids)
    try:
        with connect(layout, run_ids=run_ids, views=[table]) as connection:
            rows = connection.sql(f"SELECT * FROM {table} ORDER BY {', '.join(KEYS[table])}")  # noqa: S608
            return rows.to_arrow_table().cast(SCHEMAS[table])
    except duckdb.InvalidInputException:
        _require_undamaged(layout, [table], run_ids)
        raise


def query(layout: StoreLayout, sql: str) -> pa.Table:
    """Answer one SELECT over the views; nothing else is executed.

    Raises:
        InputError: the SQL is not one single SELECT, or DuckDB refuses it (says what and which views there are), or
            two columns of the answer have one name.
        CorruptFileError, SchemaError: a part can't be read; named.
    """
    words = f"Views: {', '.join(VIEWS)}"
    try:
        statements = duckdb.extract_statements(sql)
        # Not EXPLAIN: with ANALYZE it executes whatever follows.
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"query: exactly one SELECT is answered, the store is read-only. {words}")
        views = [view for view in VIEWS if view in sql.lower()] or VIEWS
        with connect(layout, views=views) as connection:
            answer = connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        if isinstance(error, duckdb.InvalidInputException):
            _require_undamaged(layout, TABLES, layout.run_ids())
        raise InputError(f"query: {error}\n{words}") from error
    names = answer.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"query: more than one column is named {', '.join(twice)}; rename with AS, or leave out with EXCLUDE"
        )
    return answer
