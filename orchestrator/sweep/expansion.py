"""A sweep's grid: every point with its settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tausweep.jobs.spec.data import UNPREPARED
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.sweep.file import Sweep
from tausweep.orchestrator.sweep.filters import matches
from tausweep.orchestrator.sweep.points import all_points
from tausweep.orchestrator.sweep.yaml_file import KeyPath
from tausweep.storage.errors import SettingError, SweepFileError

MAX_RUNS = 100_000


def expand(sweep: Sweep) -> list[RunSpec]:
    """The grid's runs, each once, in the order of the file; images not yet looked at (`UNPREPARED`).

    Raises:
        SweepFileError: a point of the grid is no valid run; names file, line, field and value.
    """
    size = math.prod(len(values) for values in sweep.grid.values()) + len(sweep.points)
    if size > MAX_RUNS:
        raise SweepFileError(f"{sweep.source.place('grid')}: the grid has {size} points; at most {MAX_RUNS}")
    specs: dict[str, RunSpec] = {}
    for point in all_points(sweep.grid, sweep.points, sweep.overrides):
        settings: dict[str, Any] = {"fingerprint": UNPREPARED}
        for _, layer in _layers(sweep, point):
            settings |= layer
        try:
            spec = RunSpec.from_settings(settings)
        except SettingError as error:
            raise SweepFileError(_point_error(sweep, point, error)) from error
        if spec.data.data == "folder" and sweep.folder is None:
            raise SweepFileError(
                f"{sweep.source.place('settings', 'data')}: data = folder: give the top-level key `folder: PATH`"
            )
        specs.setdefault(spec.provisional_id, spec)
    return list(specs.values())


def _layers(sweep: Sweep, point: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """The sources of a point's settings, each with its place in the file; a later one wins, `when` not over a point."""
    fixed = {key: values[0] for key, values in sweep.overrides.items() if key not in point}
    settings = sweep.settings | point
    top = {key: sweep.source.content[key] for key in ("experiment",) if key in sweep.source.content}
    yield (), top
    yield ("settings",), sweep.settings
    yield ("grid",), point
    for condition, where, changes in sweep.when:
        if matches(where, top | settings | fixed):
            layer = {key: value for key, value in changes.items() if key not in point}
            settings |= layer
            yield ("when", condition), layer
    yield (), fixed


def _point_error(sweep: Sweep, point: dict[str, Any], error: SettingError) -> str:
    places = [path for path, layer in _layers(sweep, point) if error.field in layer]
    path = (places or [("settings",)])[-1]
    place = "command line" if error.field in sweep.overrides else sweep.source.place(*path, error.field)
    where = ", ".join(f"{key}={value}" for key, value in point.items())
    return f"{place}: {error}" + (f" (at {where})" if where else "")
