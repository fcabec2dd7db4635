"""The commands that look at results: `resolve`, `figures`, `report`, and `refine`, which asks for more of them.

Registered by `orchestrator.cli`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from orchestrator.options import (
    DEFAULT_STORE,
    AsJson,
    Criteria,
    Isotonic,
    ProfileName,
    SkipBad,
    Store,
    SweepName,
    Threshold,
    Where,
)
from storage.errors import InputError, StoreError, nearest

if TYPE_CHECKING:
    from orchestrator.execution_site import ExecutionSite
    from orchestrator.plan import Plan
    from orchestrator.refining import Loop, State
    from storage.layout import StoreLayout

Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="With --auto: runs a round; a run a condition by default."),
]
EarlyStop = Annotated[
    bool,
    typer.Option(
        "--early-stop", help="With --auto: cancel runs once they memorise; censors all else of them."
    ),
]
RefineExecutor = Annotated[
    str | None,
    typer.Option(
        "--executor", help="With --auto: local, slurm or ray; by default the one that has the sweep."
    ),
]


def resolve(
    sweep: SweepName,
    where: Where = None,
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Also write all of it to FILE.json, or its estimates to FILE.parquet."
        ),
    ] = None,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Fit tau_mem and tau_gen of a sweep against n, and n* within the budget.

    Each estimate has its interval and says how many runs never crossed. Writes nothing without --out.
    """
    from orchestrator import analysis, fit_files, fit_tables, output, selection

    view = analysis.view(k, criteria, isotonic=isotonic)
    if out is not None:
        fit_files.require_form(out)
    layout = selection.open_store(store)
    bad: list[StoreError] | None = [] if skip_bad else None
    fitted = analysis.resolve_sweep(selection.stored(sweep, layout, where), layout, view, bad)
    output.print_left_out(bad)
    if out is not None:
        fit_files.write_result(fitted, out)
    if as_json:
        output.print_json(fitted.model_dump(mode="json"))
    else:
        fit_tables.print_fits(fitted)


def figures(
    sweep: SweepName,
    where: Where = None,
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    form: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; the store's figures by default.")
    ] = None,
    theory: Annotated[
        bool, typer.Option("--theory", help="Show the random-features slope n* ∝ p in the phase diagram.")
    ] = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Draw the figures of a sweep."""
    from orchestrator import analysis, output, selection
    from orchestrator.figures import Format

    if form not in get_args(Format):
        raise InputError(f"--format {form}: {nearest(form, get_args(Format))}")
    view = analysis.view(k, criteria, isotonic=isotonic)
    layout = selection.open_store(store)
    made = selection.stored(sweep, layout, where)
    bad: list[StoreError] | None = [] if skip_bad else None
    folder = out or layout.figures(made.sweep)
    drawn, skipped = analysis.draw_sweep(made, layout, folder, cast(Format, form), view, bad, theory=theory)
    output.print_left_out(bad)
    for path in drawn:
        output.console.print(str(path), soft_wrap=True)
    for name, reason in skipped.items():
        output.console.print(f"{name}: not drawn, {reason}", soft_wrap=True)


def report(
    sweep: SweepName,
    where: Where = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file.")] = Path("report.html"),
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Write a sweep's results as one HTML file that opens anywhere, without a network."""
    from orchestrator import analysis, output, selection

    view = analysis.view(k, criteria, isotonic=isotonic)
    layout = selection.open_store(store)
    made = selection.stored(sweep, layout, where)
    bad: list[StoreError] | None = [] if skip_bad else None
    given = [*(where or []), *([] if k == "1/3" else ["--k", k]), *(["--isotonic"] if isotonic else [])]
    given += [word for name in criteria or [] for word in ("--criterion", name)]
    text = analysis.report_sweep(made, layout, view, given, bad)
    output.print_left_out(bad)
    analysis.write_page(text, out)
    output.console.print(f"{out}  ({len(text.encode()) / 1e6:.1f} MB)", soft_wrap=True)


def refine(
    sweep: SweepName,
    where: Where = None,
    target: Annotated[str, typer.Option("--target", help="What is to become narrow: boundary.")] = "boundary",
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=10_000, help="Runs to propose; with --auto, at most.")
    ] = 12,
    tau: Annotated[
        int | None,
        typer.Option("--tau", min=1, help="Training budget; the largest by default.", show_default=False),
    ] = None,
    width: Annotated[
        float,
        typer.Option("--width", min=1.001, help="A 95 % interval of n* within this factor is narrow enough."),
    ] = 1.5,
    largest_n: Annotated[
        int | None, typer.Option("--largest-n", min=2, help="Propose no larger n.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write them: a new sweep file (a child), or the sweep's own file to add to it.",
        ),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Execute them, look again, until n* is narrow.")
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
    """Propose the runs that tell most about n*(p), and say why.

    Writes nothing without --out.
    """
    from orchestrator import analysis, output, refine_tables, refining, selection

    if target not in refining.TARGETS:
        raise InputError(f"--target {target}: {nearest(target, refining.TARGETS)}")
    loop_only = {"--batch": batch, "--early-stop": early_stop, "--executor": executor, "--profile": profile}
    _require_auto(auto, out, loop_only, as_json=as_json)
    view = analysis.view(k, criteria, isotonic=False)
    layout = selection.open_store(store)
    plan = selection.stored(sweep, layout, where)
    site = _site(executor or plan.executor, profile, layout) if auto else None
    state = refining.look(plan, layout, view, tau)
    if site is not None and out is not None:
        loop = refining.Loop(
            layout=layout,
            view=view,
            parent=refining.parent_file(plan),
            out=out,
            width=width,
            largest_n=largest_n,
            early_stop=early_stop,
            site=site,
        )
        _around(loop, plan, state, runs, batch)
        return
    proposals, points = refining.next_points(state, plan, runs, width, largest_n)
    if out is not None and points:
        refining.write_points(layout, refining.parent_file(plan), out, points)
    refine_tables.print_proposals(state, proposals, width, as_json=as_json)
    if out is not None and points and not as_json:
        output.console.print(
            f"{out}: {len(points)} points written; `tausweep run {out}` trains them", soft_wrap=True
        )


def _require_auto(auto: bool, out: Path | None, loop_only: Mapping[str, object], *, as_json: bool) -> None:
    """Refuse options that do not go together."""
    if not auto:
        if given := [name for name, value in loop_only.items() if value]:
            raise InputError(f"{given[0]}: only with --auto")
        return
    if out is None:
        raise InputError("--auto: give --out FILE, the sweep file that the runs are written into")
    if as_json:
        raise InputError(
            "--json: not with --auto, which shows progress; ask again without --auto when it is done"
        )


def _site(executor: str, profile: str | None, layout: StoreLayout) -> ExecutionSite:
    """Where a loop executes; refused before anything is written."""
    from orchestrator import selection, submission
    from orchestrator.execution_site import ExecutionSite

    submission.require_executor(executor)
    submission.require_use(executor, {"--profile": profile}, "slurm")
    selection.require_writable(layout)
    return ExecutionSite(layout=layout, executor=executor, profile=profile)


def _around(loop: Loop, plan: Plan, state: State, most: int, batch: int | None) -> None:
    """Go around until n* is narrow, showing each round.

    Raises:
        typer.Exit: 130 if it was stopped.
    """
    from orchestrator import output, refine_tables
    from orchestrator.execution import EXIT_INTERRUPTED
    from orchestrator.sweepfile import read_sweep

    loop.site.place(plan)  # refuses what can't be executed there, before anything is written
    try:
        for now, proposals in loop.rounds(plan, state, most, batch):
            refine_tables.print_proposals(now, proposals, loop.width, as_json=False)
    except KeyboardInterrupt:
        name = read_sweep(loop.out).name if loop.out.exists() else plan.sweep
        output.console.print(
            f"stopped; `tausweep resume {name}` finishes what was begun, and then "
            f"`tausweep refine {name} --auto -o {loop.out}` goes on from here",
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
