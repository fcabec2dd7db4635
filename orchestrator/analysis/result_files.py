"""A FitResult as a file: complete as versioned JSON, or its estimates as one tidy Parquet table.

Called by the command line and `orchestrator.api`; computes nothing. The JSON's schema is
docs/fit-result.schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from tausweep.orchestrator.analysis.runs.grouping import group_of
from tausweep.orchestrator.analysis.runs.results import FIT_VERSION, Estimate, FitResult
from tausweep.storage.errors import CorruptFileError, InputError, SchemaError
from tausweep.storage.files.atomic import publish, publish_bytes
from tausweep.storage.layout import is_result_file, is_table_file

ESTIMATES = pa.schema(
    [
        pa.field(name, kind, nullable, {"doc": doc})
        for name, kind, nullable, doc in (
            ("sweep", pa.string(), False, "name of the sweep"),
            ("kind", pa.string(), False, "fit, law, competing law, collapse, timescale, boundary or line"),
            ("quantity", pa.string(), False, "what is estimated, such as exponent or n_star"),
            ("criterion", pa.string(), True, "name of the criterion; null for a collapse"),
            ("group", pa.string(), False, "optimizer, batch and settings that the runs have in common"),
            ("W", pa.int64(), True, "base width; null over all widths"),
            ("p", pa.int64(), True, "parameters; null over all widths"),
            ("n", pa.int64(), True, "training-set size of a timescale"),
            ("budget", pa.int64(), True, "tau of a boundary"),
            ("estimate", pa.float64(), True, "null if it is not known"),
            ("low", pa.float64(), True, "lower end of the interval; null if it is open or there is none"),
            ("high", pa.float64(), True, "upper end of the interval"),
            ("n_points", pa.int64(), True, "runs that crossed"),
            ("n_censored", pa.int64(), True, "runs that did not"),
            (
                "reason",
                pa.string(),
                True,
                "why there is no estimate, or what is to be known; the formula of a competing law",
            ),
        )
    ],
    metadata={b"tausweep.fit_version": str(FIT_VERSION).encode()},
)
"""One row per estimate."""


def require_form(path: Path) -> None:
    """Check that a result can be written to a path.

    Raises:
        InputError: its name does not tell the form.
    """
    if not (is_result_file(path) or is_table_file(path)):
        raise InputError(f"--out {path}: the name must end in .json (all of it) or .parquet (its estimates)")


def write_result(result: FitResult, path: Path) -> None:
    """Write a result, whole or not at all.

    Raises:
        InputError: the name does not tell the form, or the file cannot be written.
    """
    require_form(path)
    try:
        if is_result_file(path):
            text = json.dumps(result.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
            publish_bytes(path, text.encode())
        else:
            publish(path, lambda file: pq.write_table(estimates(result), file, compression="zstd"))
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror})") from error


def read_result(path: Path) -> FitResult:
    """Read a result from JSON.

    Raises:
        FileNotFoundError: the file does not exist.
        SchemaError: it has a different version.
        CorruptFileError: it is not a result.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFileError(f"{path}: not JSON ({error})") from error
    version = content.get("fit_version") if isinstance(content, dict) else None
    if version != FIT_VERSION:
        raise SchemaError(f"{path}: fit_version {version!r}; this version of tausweep reads {FIT_VERSION}")
    try:
        return FitResult.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CorruptFileError(f"{path}: {place}: {first['msg']}") from error


def estimates(result: FitResult) -> pa.Table:
    """Every estimate of a result as a row of `ESTIMATES`."""
    rows = [{"sweep": result.sweep, **row} for row in _rows(result)]
    return pa.Table.from_pylist(rows, schema=ESTIMATES)


def _rows(result: FitResult) -> Iterator[dict[str, Any]]:
    for fit in result.fits:
        for quantity, estimate in (("exponent", fit.exponent), ("prefactor", fit.prefactor)):
            yield _row("fit", quantity, estimate, fit, reason=fit.reason or fit.interval_note)
    for law in result.laws:
        for quantity, estimate in (("exponent", law.exponent), ("width_exponent", law.width_exponent)):
            yield _row("law", quantity, estimate, law, reason=law.reason or law.interval_note)
    for competition in result.competitions:
        one_width = len(competition.W_values) == 1
        for fitted in competition.laws:
            for name, estimate in fitted.parameters.items():
                yield _row("competing law", name, estimate, competition, reason=fitted.law) | {
                    "W": competition.W_values[0] if one_width else None,
                    "p": competition.p_values[0] if one_width else None,
                }
    for collapse in result.collapses:
        yield _row("collapse", "exponent", collapse.exponent, collapse, reason=collapse.reason)
        yield _row("collapse", "score", Estimate(estimate=collapse.score), collapse, reason=collapse.reason)
    for timescale in result.timescales:
        yield _row("timescale", timescale.quantity, timescale.tau, timescale, reason=timescale.censored)
    for boundary in result.boundaries:
        counts = {
            "n_points": boundary.n_memorising,
            "n_censored": boundary.n_runs - boundary.n_memorising,
        }
        yield _row("boundary", "n_star", boundary.n_star, boundary, reason=boundary.reason) | counts
    for line in result.lines:
        yield _row("line", "n_star", line.n_star, line, reason=line.verdict)


def _row(kind: str, quantity: str, estimate: Estimate, of: Any, *, reason: str | None) -> dict[str, Any]:
    fields = ("criterion", "W", "p", "n", "budget", "n_points", "n_censored")
    group = "; ".join(of.groups) if kind == "law" else group_of(of)
    return {
        "kind": kind,
        "quantity": quantity,
        "group": group,
        "reason": reason,
        **estimate.model_dump(),
        **{name: getattr(of, name, None) for name in fields},
    }
