"""The commands that plan, execute and watch a sweep: `plan`, `run`, `status`, `logs`.

Registered by `orchestrator.cli.app`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from tausweep.orchestrator.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Overrides,
    Store,
    SweepFile,
    SweepName,
    Where,
    planned,
)
from tausweep.orchestrator.cli.submit_commands import continued_by, prepare


def plan(
    file: SweepFile, overrides: Overrides = None, as_json: AsJson = False, store: Store = DEFAULT_STORE
) -> None:
    """Show the grid: what is done, running and missing. Writes nothing."""
    from tausweep.orchestrator.stores import access
    from tausweep.orchestrator.terminal import plan_tables

    layout = access.open_store(store)
    plan_tables.print_plan(planned(file, overrides, layout, jobs=True), layout, as_json=as_json)


def run(file: SweepFile, overrides: Overrides = None, store: Store = DEFAULT_STORE) -> None:
    """Run what is missing of a sweep on this machine.

    Ctrl-C stops with a checkpoint; the same command continues.
    """
    from tausweep.orchestrator.execution.site import site_of
    from tausweep.orchestrator.stores import access

    layout = access.open_store(store)
    access.require_writable(layout)
    site = site_of("local", layout)
    plan = planned(file, overrides, layout)
    plan.require_complete()
    plan = site.place(plan)
    prepare(plan, layout)
    with continued_by("run", file, *(overrides or []), store=layout):
        site.resume(plan)


def execute(sweep: SweepName, store: Store = DEFAULT_STORE) -> None:
    """Execute what is to do of a stored sweep: the process that `submit` leaves behind."""
    from tausweep.orchestrator.execution import local_site
    from tausweep.orchestrator.stores import access, selection

    layout = access.open_store(store)
    local_site.execute(selection.stored(sweep, layout), layout)


def status(
    sweep: Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="A sweep (default: all).")] = None,
    where: Where = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh every two seconds until all runs are done.")
    ] = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Show the states of sweeps and runs. Writes nothing."""
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console, plan_tables

    layout = access.open_store(store)
    if sweep is not None and "=" in sweep:  # a filter on all sweeps
        where = [sweep, *(where or [])]
        sweep = None
    while True:
        names = layout.sweep_names() if sweep is None else [sweep]
        plans = [selection.stored(name, layout, where, jobs=True) for name in names]
        if watch and not as_json:
            console.console.clear()
        if sweep is None:
            plan_tables.print_sweeps(plans, layout, as_json=as_json)
        else:
            plan_tables.print_runs(plans[0], as_json=as_json)
        if not watch or not any(plan.count("pending", "submitted", "running", "preempted") for plan in plans):
            return
        time.sleep(2)


def logs(
    target: Annotated[
        str, typer.Argument(metavar="RUN|SWEEP", help="Run id (its beginning is enough) or sweep.")
    ],
    where: Where = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Failures of a sweep by class and message, with what to do."),
    ] = False,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Show what a run printed, or the failures of a sweep."""
    from tausweep.orchestrator.stores import access, failures, selection
    from tausweep.orchestrator.terminal import console, failure_output, plan_tables

    layout = access.open_store(store)
    access.require_store(layout)
    if not failed and target not in layout.sweep_names():
        failure_output.print_log(layout, target, as_json=as_json)
        return
    plan = selection.stored(target, layout, where, jobs=True)
    groups = failures.group_failures(layout, [run.run_id for run in plan.runs])
    if as_json:
        console.print_json([vars(group) for group in groups])
    elif groups:
        failure_output.print_groups(groups)
    else:
        console.console.print(f"{plan.sweep}: no run has failed; {plan_tables.summary(plan)}")
