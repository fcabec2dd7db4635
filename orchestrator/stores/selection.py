"""Finds the sweep and the runs that a command names by file, by name or by filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tausweep.orchestrator.plan.plan import Plan, make_plan, stored_plan, with_jobs
from tausweep.orchestrator.stores.access import require_store
from tausweep.orchestrator.sweep.file import find_sweep, read_sweep
from tausweep.orchestrator.sweep.filters import matches, parse_where
from tausweep.storage.errors import InputError, nearest
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import RunDirectory, StoreLayout


def planned(file: str, overrides: Sequence[str] | None, layout: StoreLayout, *, jobs: bool = False) -> Plan:
    """The plan of a sweep file, or of a shipped sweep by name.

    Args:
        file: path of the sweep file, or name of a shipped sweep.
        overrides: settings that replace those of the file.
        layout: the store.
        jobs: whether to ask schedulers for the sweep's jobs, see `orchestrator.plan.plan.with_jobs`.

    Raises:
        SweepFileError, DataError, InputError: file or overrides are wrong.
    """
    plan = make_plan(read_sweep(find_sweep(file), overrides or []), layout)
    return _with_jobs(plan, layout) if jobs else plan


def stored(
    sweep: str, layout: StoreLayout, where: Sequence[str] | None = None, *, jobs: bool = False
) -> Plan:
    """The plan of a stored sweep, by name or file, restricted to the runs that match a filter.

    Args:
        sweep: its name or its file.
        layout: the store.
        where: filters such as `optimizer=adam`; all runs by default.
        jobs: whether to ask schedulers for the sweep's jobs, see `orchestrator.plan.plan.with_jobs`. Without
            them no run is `submitted`.

    Raises:
        InputError: no such store or sweep, or the filter is wrong.
    """
    name = sweep_name(sweep, layout)
    wanted = parse_where(where or [], extra=["state", "p"])
    plan = stored_plan(name, layout)
    if jobs:
        plan = _with_jobs(plan, layout)
    return replace(plan, runs=[run for run in plan.runs if matches(wanted, run.settings)])


def _with_jobs(plan: Plan, layout: StoreLayout) -> Plan:
    return replace(plan, runs=with_jobs(plan.runs, plan.sweep, layout))


def run_ids(sweep: str, layout: StoreLayout) -> list[str]:
    """The ids of a stored sweep's runs.

    Raises:
        InputError: no such store or sweep.
    """
    ids: list[str] = read_record(layout.sweep(sweep_name(sweep, layout)), "run_ids")["run_ids"]
    return ids


def find_run(begin: str, layout: StoreLayout, otherwise: str = "") -> RunDirectory:
    """The only run whose id begins with the given characters.

    Args:
        begin: the run's id, or its first characters.
        layout: the store.
        otherwise: what the error adds if there is no such run.

    Raises:
        InputError: no run, or several, begin with these characters.
    """
    fitting = [run_id for run_id in layout.run_ids() if run_id.startswith(begin)]
    if not fitting:
        raise InputError(f"{begin}: no run id begins with this{otherwise}")
    if len(fitting) > 1:
        first = ", ".join(fitting[:5])
        raise InputError(f"{begin}: {len(fitting)} run ids begin with this ({first} …); give more digits")
    return layout.run(fitting[0])


def sweep_name(sweep: str, layout: StoreLayout) -> str:
    """The name of a stored sweep, given by name or file.

    Raises:
        InputError: no such store or sweep.
    """
    require_store(layout)
    name = sweep
    if sweep.endswith((".yaml", ".yml")) and Path(sweep).exists():
        name = read_sweep(Path(sweep)).name
    if name not in layout.sweep_names():
        raise InputError(f"{sweep}: no such sweep in {layout.root}; {nearest(name, layout.sweep_names())}")
    return name
