"""The command `refine`: which runs to train next, and their training.

Registered by `orchestrator.cli.app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tausweep.orchestrator.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Criteria,
    ProfileName,
    Store,
    SweepName,
    Threshold,
    Where,
)
from tausweep.storage.errors import InputError, nearest

if TYPE_CHECKING:
    from tausweep.orchestrator.execution.site import Site
    from tausweep.orchestrator.plan.plan import Plan
    from tausweep.orchestrator.refinement.boundary_state import State
    from tausweep.orchestrator.refinement.loop import Loop
    from tausweep.storage.layout import StoreLayout


Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="With --auto: runs per round (default: one per condition)."),
]


EarlyStop = Annotated[
    bool,
    typer.Option(
        "--early-stop", help="With --auto: cancel runs once they memorise; other criteria are censored."
    ),
]


RefineExecutor = Annotated[
    str | None,
    typer.Option("--executor", help="With --auto: local, slurm or ray (default: where the sweep ran last)."),
]


def refine(
    sweep: SweepName,
    where: Where = None,
    target: Annotated[str, typer.Option("--target", help="What to narrow: boundary.")] = "boundary",
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=10_000, help="Runs to propose; with --auto, the most to run.")
    ] = 12,
    tau: Annotated[
        int | None,
        typer.Option("--tau", min=1, help="Training budget (default: the largest).", show_default=False),
    ] = None,
    width: Annotated[
        float,
        typer.Option(
            "--width", min=1.001, help="Stop where the 95 % interval of n* spans less than this factor."
        ),
    ] = 1.5,
    largest_n: Annotated[
        int | None, typer.Option("--largest-n", min=2, help="Propose no larger n.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write the runs to a new sweep file, or add them to the sweep's own file.",
        ),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Run them and propose again, until n* is narrow.")
    ] = False,
    batch: Batch = None,
    early_stop: EarlyStop = False,
    executor: RefineExecutor = None,
    profile: ProfileName = None,
    k: Threshold = "1/3",
    criteria: Criteria = None,
    as_json: AsJson = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Propose the runs that narrow n*(p) most, and say why.

    Writes nothing without --out.
    """
    from tausweep.orchestrator.analysis.runs.options import parse_options
    from tausweep.orchestrator.refinement import boundary_state, sweep_text
    from tausweep.orchestrator.refinement import loop as refinement_loop
    from tausweep.orchestrator.refinement import tables as refinement_tables
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    if target not in refinement_loop.TARGETS:
        raise InputError(f"--target {target}: {nearest(target, refinement_loop.TARGETS)}")
    loop_only = {"--batch": batch, "--early-stop": early_stop, "--executor": executor, "--profile": profile}
    _require_auto(auto, out, loop_only, as_json=as_json)
    options = parse_options(k, criteria, isotonic=False)
    layout = access.open_store(store)
    plan = selection.stored(sweep, layout, where)
    options = options.or_stated(plan.criteria)
    if auto and out is not None:
        loop = refinement_loop.Loop(
            layout=layout,
            options=options,
            parent=sweep_text.parent_file(plan),
            out=out,
            width=width,
            largest_n=largest_n,
            early_stop=early_stop,
            site=_site(executor or plan.executor, profile, layout),
        )
        _go_round(loop, plan, boundary_state.look(plan, layout, options, tau), runs, batch)
        return
    state = boundary_state.look(plan, layout, options, tau)
    proposals, points = refinement_loop.next_points(state, plan, runs, width, largest_n)
    if out is not None and points:
        sweep_text.write_points(layout, sweep_text.parent_file(plan), out, points)
    refinement_tables.print_proposals(state, proposals, width, as_json=as_json)
    if out is not None and points and not as_json:
        console.console.print(
            f"{out}: {len(points)} points written; `tausweep run {out}` trains them", soft_wrap=True
        )


def _require_auto(auto: bool, out: Path | None, loop_only: Mapping[str, object], *, as_json: bool) -> None:
    """Refuse options that do not go together."""
    if not auto:
        if useless := [name for name, value in loop_only.items() if value]:
            raise InputError(f"{useless[0]}: only with --auto")
        return
    if out is None:
        raise InputError("--auto: give --out FILE, the sweep file that the runs are written into")
    if as_json:
        raise InputError(
            "--json: not with --auto, which shows progress; ask again without --auto when it is done"
        )


def _site(executor: str, profile: str | None, layout: StoreLayout) -> Site:
    """Where a loop executes; refused before anything is written."""
    from tausweep.orchestrator.execution.site import SiteOptions, site_of
    from tausweep.orchestrator.stores import access

    site = site_of(executor, layout, SiteOptions(profile=profile))
    access.require_writable(layout)
    return site


def _go_round(loop: Loop, plan: Plan, state: State, most: int, batch: int | None) -> None:
    """Execute what is proposed and look again until n* is narrow, showing each round.

    Raises:
        typer.Exit: 130 if it was stopped.
    """
    from tausweep.orchestrator.execution.site import EXIT_INTERRUPTED
    from tausweep.orchestrator.refinement import tables as refinement_tables
    from tausweep.orchestrator.sweep.file import read_sweep
    from tausweep.orchestrator.terminal import console

    loop.site.place(plan)  # refuses what can't be executed there, before anything is written
    try:
        for now, proposals in loop.rounds(plan, state, most, batch):
            refinement_tables.print_proposals(now, proposals, loop.width, as_json=False)
    except KeyboardInterrupt:
        name = read_sweep(loop.out).name if loop.out.exists() else plan.sweep
        console.console.print(
            f"stopped; `tausweep resume {name}` finishes the runs that have begun, then "
            f"`tausweep refine {name} --auto -o {loop.out}` continues",
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
