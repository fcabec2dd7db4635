"""Executing a plan on this machine, with progress and an exit code: what `run`, `resume` and `submit` share."""

from __future__ import annotations

import typer

from orchestrator import launch, listing, output
from orchestrator.plan import Plan
from storage.layout import StoreLayout

EXIT_INTERRUPTED = 130


def execute(made: Plan, layout: StoreLayout) -> None:
    """Execute with progress, and say how it ended: exit code 0, 1 if a run failed, 130 if stopped."""
    made = launch.settled(made, layout)
    todo = launch.todo(made)
    if todo:
        workers = made.resources.worker_count(len(todo))
        output.console.print(
            f"{made.sweep}: {len(todo)} of {len(made.runs)} runs to do, {workers} workers, store {layout.root}",
        )
        try:
            with output.ProgressView(made) as view:
                made = launch.execute(made, layout, view.update)
        except KeyboardInterrupt:
            output.console.print(
                f"stopped; the same command, or `tausweep resume {made.sweep}`, goes on from here"
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None
    report_end(made, layout)


def report_end(made: Plan, layout: StoreLayout) -> None:
    """Say how a sweep stands that nobody executes any more.

    Raises:
        typer.Exit: 1 if a run failed.
    """
    output.console.print(f"{made.sweep}: {listing.summary(made)}")
    if made.count("failed"):
        output.console.print(f"see why: tausweep logs {made.sweep} --failed --store {layout.root}")
        raise typer.Exit(1)
