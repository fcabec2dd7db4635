"""The stable Python interface to results: what other programs, notebooks and papers may build on.

Names in `__all__` keep their meaning within a major version; everything else of tausweep may change. A `FitResult` is
documented in docs/fit-result.md and by its JSON schema.

    from tausweep import resolve_sweep
    result = resolve_sweep("runs", "quickstart")
    result.fits[0].exponent  # Estimate(estimate=0.64, low=0.38, high=0.91)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from numpy.typing import ArrayLike

from tausweep.orchestrator.analysis import tables as analysis_tables
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.crossing import Smoothing
from tausweep.orchestrator.analysis.criteria.names import parse_criterion
from tausweep.orchestrator.analysis.result_files import ESTIMATES, estimates, read_result, write_result
from tausweep.orchestrator.analysis.runs.curves import Curve, RunCurves
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.runs.results import FIT_VERSION, Estimate, FitResult
from tausweep.orchestrator.stores import access, selection
from tausweep.storage.files.object_store import location

if TYPE_CHECKING:
    from tausweep.orchestrator.figures.spectrum_plots import Density

__all__ = [
    "ESTIMATES",
    "FIT_VERSION",
    "Criterion",
    "Curve",
    "Estimate",
    "FitResult",
    "RunCurves",
    "curves_of",
    "draw_spectrum",
    "estimates",
    "parse_criterion",
    "read_result",
    "resolve",
    "resolve_sweep",
    "write_result",
]


def draw_spectrum(
    path: str | Path,
    spectra: Mapping[str, ArrayLike],
    densities: Mapping[str, Density] | None = None,
    deltas: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Draw measured eigenvalues and a theory's densities in the style of all figures.

    Arguments and errors as of `orchestrator.figures.spectrum_plots.draw_spectrum`.
    """
    from tausweep.orchestrator.figures import spectrum_plots  # matplotlib is loaded by those who draw

    spectrum_plots.draw_spectrum(Path(path), spectra, densities, deltas)


def resolve(
    runs: pa.Table,
    metrics: pa.Table,
    neighbours: pa.Table,
    *,
    sweep: str,
    k: float = 1 / 3,
    criteria: Sequence[Criterion] | None = None,
    smoothing: Smoothing = "none",
    draws: int = 500,
    seed: int = 0,
) -> FitResult:
    """Read the timescales and their laws out of a sweep's tables.

    Args:
        runs: one row per run, settings as columns (see `storage.tables.record_tables.runs_table`).
        metrics: rows of `storage.tables.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.tables.schemas.NEIGHBOURS`, the attempt rule applied.
        sweep: its name.
        k: threshold of the gap ratio where a criterion has none; f_mem is computed anew from the neighbours.
        criteria: by default `orchestrator.analysis.runs.default_criteria.criteria_for`.
        smoothing: "isotonic" replaces f_mem and the loss gap by their nearest rising curves first.
        draws: bootstrap resamples, at least 1.
        seed: of the bootstrap; the same tables and seed give the same result.

    Raises:
        InputError: an argument is out of its range, or a criterion is given twice.
    """
    options = ResolverOptions(
        k=k, criteria=tuple(criteria or ()), smoothing=smoothing, draws=draws, seed=seed
    )
    return analysis_tables.Tables(runs, metrics, neighbours).fit(sweep, options)


def resolve_sweep(
    store: str | Path,
    sweep: str,
    where: Sequence[str] = (),
    *,
    k: float = 1 / 3,
    criteria: Iterable[str] = (),
    smoothing: Smoothing = "none",
) -> FitResult:
    """What the resolver says of a stored sweep; the same as `tausweep resolve`.

    Args:
        store: a folder, or `s3://bucket/prefix`.
        sweep: its name.
        where: filters as on the command line, such as `optimizer=adam`.
        k: threshold of the gap ratio, 0 < k ≤ 1.
        criteria: by name, such as `f_mem=0.1@k1/2`; the usual ones by default.
        smoothing: "isotonic" makes f_mem and loss gaps rise before they are crossed.

    Raises:
        InputError: no such store, sweep, filter, criterion or smoothing, or k is out of its range.
        StoreError: a file of the store is damaged.
    """
    parsed = tuple(parse_criterion(name) for name in criteria)
    options = ResolverOptions(k=k, criteria=parsed, smoothing=smoothing)
    layout = access.open_store(location(str(store)))
    plan = selection.stored(sweep, layout, list(where))
    return analysis_tables.fit_stored(plan, layout, options)


def curves_of(
    store: str | Path, sweep: str, where: Sequence[str] = (), *, k: float = 1 / 3
) -> list[RunCurves]:
    """Every run of a stored sweep that has a measurement, with its curves over tau.

    Args:
        store: a folder, or `s3://bucket/prefix`.
        sweep: its name.
        where: filters as on the command line.
        k: threshold of the gap ratio for f_mem.

    Raises:
        InputError: no such store, sweep or filter, or k is out of its range.
        StoreError: a file of the store is damaged.
    """
    options = ResolverOptions(k=k)
    layout = access.open_store(location(str(store)))
    tables = analysis_tables.read_tables(selection.stored(sweep, layout, list(where)), layout)
    return tables.measured(options.k).curves
