"""The commands that look at results: `resolve`, `figures`, `report`. They need the store alone, no scheduler.

Registered by `orchestrator.cli.app`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from tausweep.orchestrator.cli.options import (
    DEFAULT_STORE,
    AsJson,
    Criteria,
    Isotonic,
    SkipBad,
    Store,
    SweepName,
    Threshold,
    Where,
)
from tausweep.storage.errors import InputError, StoreError, nearest


def resolve(
    sweep: SweepName,
    where: Where = None,
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Also write the whole result to FILE.json, or its estimates to FILE.parquet.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every law, the phase diagram and the boundary.")
    ] = False,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Fit tau_mem and tau_gen against n, and the boundary n*.

    Each estimate has an interval and counts the runs that never crossed. Writes nothing without --out.
    """
    from tausweep.orchestrator.analysis import result_files, tables
    from tausweep.orchestrator.analysis.runs.options import parse_options
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console, fit_tables

    options = parse_options(k, criteria, isotonic=isotonic)
    if out is not None:
        result_files.require_form(out)
    layout = access.open_store(store)
    bad: list[StoreError] | None = [] if skip_bad else None
    plan = selection.stored(sweep, layout, where)
    options = options.or_stated(plan.criteria)
    fitted = tables.fit_stored(plan, layout, options, bad)
    console.print_left_out(bad)
    if out is not None:
        result_files.write_result(fitted, out)
    if as_json:
        console.print_json(fitted.model_dump(mode="json"))
    else:
        chosen = [criterion.name for criterion in options.criteria]
        fit_tables.print_fits(fitted, chosen=chosen, everything=everything)


def figures(
    sweep: SweepName,
    where: Where = None,
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    form: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write them here; by default into the store."),
    ] = None,
    theory: Annotated[
        bool, typer.Option("--theory", help="Show the random-features slope n* ∝ p in the phase diagram.")
    ] = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Draw the figures of a sweep."""
    from tausweep.orchestrator.analysis.runs.options import parse_options
    from tausweep.orchestrator.figures.draw import draw
    from tausweep.orchestrator.figures.style import Format
    from tausweep.orchestrator.report import sweep as report_sweep
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    if form not in get_args(Format):
        raise InputError(f"--format {form}: {nearest(form, get_args(Format))}")
    options = parse_options(k, criteria, isotonic=isotonic)
    layout = access.open_store(store)
    plan = selection.stored(sweep, layout, where)
    bad: list[StoreError] | None = [] if skip_bad else None
    stored = report_sweep.read_study(plan, layout, options, bad)
    folder = out or layout.figures(plan.sweep)
    drawn, skipped = draw(stored.study, stored.images, folder, cast(Format, form), theory=theory)
    console.print_left_out(bad)
    for path in drawn:
        console.console.print(str(path), soft_wrap=True)
    for name, reason in skipped.items():
        console.console.print(f"{name}: not drawn, {reason}", soft_wrap=True)


def report(
    sweep: SweepName,
    where: Where = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The HTML file.")] = Path(
        "report.html"
    ),
    k: Threshold = "1/3",
    criteria: Criteria = None,
    isotonic: Isotonic = False,
    skip_bad: SkipBad = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Write the results of a sweep as one HTML file.

    It opens anywhere and needs no network.
    """
    from tausweep.orchestrator.analysis.runs.options import parse_options
    from tausweep.orchestrator.report import sweep as report_sweep
    from tausweep.orchestrator.stores import access, selection
    from tausweep.orchestrator.terminal import console

    options = parse_options(k, criteria, isotonic=isotonic)
    layout = access.open_store(store)
    plan = selection.stored(sweep, layout, where)
    bad: list[StoreError] | None = [] if skip_bad else None
    words = [*(where or []), *([] if k == "1/3" else ["--k", k]), *(["--isotonic"] if isotonic else [])]
    words += [word for name in criteria or [] for word in ("--criterion", name)]
    text = report_sweep.report_sweep(plan, layout, options, words, bad)
    console.print_left_out(bad)
    report_sweep.write_page(text, out)
    console.console.print(f"{out}  ({len(text.encode()) / 1e6:.1f} MB)", soft_wrap=True)
