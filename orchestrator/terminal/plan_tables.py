"""Plans and states as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.orchestrator.terminal.console import console, print_json, print_table, print_text
from tausweep.storage.attempts.records import STATES
from tausweep.storage.layout import StoreLayout

_SHOWN = 200


def counts(plan: Plan) -> dict[str, int]:
    """State → how many runs are in it, states without a run left out."""
    return {state: plan.count(state) for state in STATES if plan.count(state)}


def summary(plan: Plan) -> str:
    """Such as `16 runs: 4 pending, 12 succeeded`."""
    words = ", ".join(f"{count} {state}" for state, count in counts(plan).items())
    return f"{len(plan.runs)} runs: {words}" if words else "0 runs"


def print_plan(plan: Plan, layout: StoreLayout, *, as_json: bool) -> None:
    """Show a grid before it is run."""
    if as_json:
        print_json({"store": str(layout.root), **_json(plan)})
        return
    drafts = any(not run.run_id for run in plan.runs)  # have no id before their images are there
    columns = [*([] if drafts else ["run"]), *plan.axes]
    columns += [name for name in ("p", "batch", "steps", "state") if name not in plan.axes]
    print_table(columns, [_planned_row(run, columns) for run in plan.runs[:_SHOWN]], wrap=columns)
    _print_rest(plan)
    sizes = dict.fromkeys((getattr(run.spec.model, "W", 0), run.p) for run in plan.runs)
    print_text("\n" + ", ".join(f"W={W}: p={p:,}" if W else f"p={p:,}" for W, p in sorted(sizes)))
    print_remarks(plan)
    for lack in plan.lacking:
        console.print(f"lacking: {lack}", soft_wrap=True)
    print_text(
        f"{summary(plan)}; {plan.steps_left:,} steps and {plan.images_left:,} training images to do. "
        "Nothing was written."
    )


def print_remarks(plan: Plan) -> None:
    """Print what may be unexpected about the plan's runs."""
    for remark in plan.remarks:
        print_text(remark)


def print_sweeps(plans: Sequence[Plan], layout: StoreLayout, *, as_json: bool) -> None:
    """Show the states of all sweeps of a store."""
    if as_json:
        print_json([_json(plan) for plan in plans])
    elif not plans:
        console.print(f"no sweep in {layout.root} yet")
    else:
        states = [state for state in STATES if any(plan.count(state) for plan in plans)]
        rows = [
            [plan.sweep, len(plan.runs), *(plan.count(state) for state in states), plan.steps_left]
            for plan in plans
        ]
        columns = ["sweep", "runs", *states, "steps left"]
        print_table(columns, rows, wrap=columns)


def print_runs(plan: Plan, *, as_json: bool) -> None:
    """Show the states of the runs of a sweep."""
    if as_json:
        print_json(_json(plan))
        return
    columns = ["run", *plan.axes, "state", "tau", "steps/s", "attempt", "failure"]
    shown = plan.runs[:_SHOWN]
    rows = [_status_row(plan, run) for run in shown]
    if any(run.status.scheduler_state for run in shown):
        columns.append("scheduler")
        rows = [[*row, run.status.scheduler_state] for row, run in zip(rows, shown, strict=True)]
    print_table(columns, rows, wrap=columns)
    _print_rest(plan)
    console.print(f"\n{summary(plan)}; {plan.steps_left:,} steps to do")


def _print_rest(plan: Plan) -> None:
    if len(plan.runs) > _SHOWN:
        console.print(f"… and {len(plan.runs) - _SHOWN} more; --json prints all")


def _json(plan: Plan) -> dict[str, Any]:
    return {
        "sweep": plan.sweep,
        "counts": {"runs": len(plan.runs), **counts(plan)},
        "steps_left": plan.steps_left,
        "images_left": plan.images_left,
        "lacking": list(plan.lacking),
        "runs": [
            {**run.settings, **run.status.model_dump(mode="json"), "run_id": run.run_id or None}
            for run in plan.runs
        ],
    }


def _planned_row(run: PlannedRun, columns: Sequence[str]) -> list[Any]:
    shown = {**run.settings, "run": run.run_id}
    return [shown.get(name) for name in columns]


def _status_row(plan: Plan, run: PlannedRun) -> list[Any]:
    status, settings = run.status, run.settings
    speed = status.steps_per_second
    return [
        run.run_id,
        *(settings.get(axis) for axis in plan.axes),
        status.state,
        f"{status.tau:,}/{run.spec.training.steps:,}",
        None if speed is None else round(speed, 1),
        status.attempt,
        status.failure,
    ]
