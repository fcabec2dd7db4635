"""The commands that ask, tend and move a store: `query`, `compact`, `store check`, `export`, `import`.

Registered by `orchestrator.cli.app`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tausweep.orchestrator.cli.options import DEFAULT_STORE, AsJson, SkipBad, Store, SweepName
from tausweep.storage.errors import InputError, StoreError
from tausweep.storage.files.object_store import location
from tausweep.storage.layout import StoreLayout

store_app = typer.Typer(help="Check a store, and repair it.", no_args_is_help=True, rich_markup_mode=None)

MaybeSweep = Annotated[
    str | None, typer.Argument(metavar="[SWEEP]", help="A sweep (default: the whole store).")
]


def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT over runs, attempts, sweeps, metrics, neighbours, evaluations.")
    ],
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the answer to this file.")
    ] = None,
    as_json: AsJson = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Give up after this many seconds.", show_default=False)
    ] = None,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Query a store in SQL. Writes nothing to it."""
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console
    from tausweep.orchestrator.terminal.query_output import write_answer
    from tausweep.storage.tables.sql import query as answer

    layout = access.open_store(store)
    access.require_store(layout)
    bad: list[StoreError] | None = [] if skip_bad else None
    rows = answer(layout, sql, timeout=timeout, bad=bad)
    console.print_left_out(bad)
    write_answer(rows, "json" if as_json else form, out)


def compact(sweep: MaybeSweep = None, as_json: AsJson = False, store: Store = DEFAULT_STORE) -> None:
    """Merge the parts of finished runs into few large files.

    Queries give the same answers. Readers and workers may go on meanwhile. If it is interrupted, the next call
    finishes it.
    """
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console
    from tausweep.storage.maintenance.compaction import compact as merge

    layout = access.open_store(store)
    access.require_store(layout)
    run_ids = None if sweep is None else selection.run_ids(sweep, layout)
    with console.console.status("compacting"):
        done = merge(layout, run_ids)
    if as_json:
        console.print_json([vars(table) for table in done])
        return
    for table in done:
        console.console.print(
            f"{table.table}: {table.parts} parts removed, {table.files} merged files written"
        )


@store_app.command("check")
def check_store(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Move bad files to quarantine, remove stale claims and old temporary files."
        ),
    ] = False,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Read a whole store and list what is damaged, missing or foreign.

    Writes nothing without --repair, which deletes no data. Exit code 1 if a finding is left.
    """
    from tausweep.jobs.spec.run_spec import stored_spec
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console
    from tausweep.storage.maintenance import verification

    layout = access.open_store(store)
    access.require_store(layout)
    found = []
    left = 0
    for finding in verification.check(layout, stored_spec):
        done = verification.repair(layout, finding) if repair else None
        left += not repair or finding.remedy is None
        found.append({**vars(finding), "done": done})
        if not as_json:
            words = f"{finding.kind}: {finding.path}: {finding.message}"
            console.console.print(words if done is None else f"{words}; {done}", soft_wrap=True)
    if as_json:
        console.print_json(found)
    else:
        console.console.print(
            f"{len(found)} findings, {left} left" if found else f"{layout.root}: nothing is wrong"
        )
    if left:
        raise typer.Exit(1)


def export(
    sweep: SweepName,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="A new folder, a store of its own.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", "-o", metavar="FILE", help="FILE.parquet: the evaluations as one table."),
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Include the newest checkpoint of each run.")
    ] = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Copy a sweep out of a store.

    Give --out FOLDER for a store that `import` and all other commands read, or -o FILE.parquet for other tools.
    """
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console
    from tausweep.orchestrator.terminal.query_output import write_answer
    from tausweep.storage.layout import is_table_file
    from tausweep.storage.maintenance.transfer import export_runs
    from tausweep.storage.tables.sql import query as answer

    if (out is None) == (table is None):
        raise InputError("export: give either --out FOLDER, or -o FILE.parquet for one table")
    if table is not None and not is_table_file(table):
        raise InputError(f"-o {table}: a name that ends in .parquet is needed; for a folder give --out")
    if table is not None and checkpoints:
        raise InputError(f"--checkpoints: {table} holds evaluations only; give --out FOLDER")
    if out is not None and is_table_file(out):
        raise InputError(f"--out {out}: the name of a folder is needed; for one table give -o {out}")
    layout = access.open_store(store)
    run_ids = selection.run_ids(sweep, layout)
    if table is not None:
        sql = "SELECT * FROM evaluations ORDER BY run_id, tau"
        write_answer(answer(layout, sql, run_ids=run_ids), "parquet", table)
    elif out is not None:
        name = selection.sweep_name(sweep, layout)
        export_runs(layout, StoreLayout(out), name, run_ids, checkpoints=checkpoints)
    console.console.print(f"{sweep}: {len(run_ids)} runs exported to {out or table}", soft_wrap=True)


def export_pipeline(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id; its beginning is enough.")],
    tau: Annotated[str, typer.Argument(metavar="TAU", help="Step of a checkpoint that is kept, or latest.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Export a checkpoint as a diffusers pipeline."""
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.stores.pipeline_export import export_pipeline as export_checkpoint
    from tausweep.orchestrator.terminal import console

    layout = access.open_store(store)
    access.require_store(layout)
    with console.console.status("looking for the run") as status:
        run_id, step = export_checkpoint(layout, run, tau, folder, status.update)
    console.console.print(f"run {run_id} at tau = {step} exported to {folder}", soft_wrap=True)


def import_store(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=location, help="An exported folder, or another store.")
    ],
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Add the runs and sweeps of a folder to a store.

    Known runs are merged. If one differs, nothing is imported.
    """
    from tausweep.jobs.spec.run_spec import stored_spec
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import console
    from tausweep.storage.maintenance.transfer import import_runs

    layout = access.open_store(store)
    if source.is_file():
        raise InputError(
            f"{source}: a folder made by `tausweep export` is needed; a single table can't be imported"
        )
    access.require_store(access.open_store(source))
    access.require_writable(layout)
    done = import_runs(StoreLayout(source), layout, stored_spec)
    if as_json:
        console.print_json(vars(done))
        return
    console.console.print(
        f"{len(done.new)} runs imported, {len(done.known)} were there; {done.attempts} attempts and "
        f"{sum(done.rows.values())} rows added",
        soft_wrap=True,
    )
