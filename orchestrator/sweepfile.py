"""The sweep file: fixed settings, axes, settings that depend on an axis, resources; and how it becomes a grid.

    name: digits
    experiment: diffusion
    settings: {data: digits, batch: "min(512, n)", steps: 3000}
    grid: {n: [8, 16], W: [8, 16], optimizer: [adam, sgd], seed: [0, 1]}
    when:
      optimizer=adam: {lr: 3e-3}
      optimizer=sgd: {lr: 0.05, warmup: 200}
    resources: {threads: 1}

Later wins: settings, the grid point, `when` in the order of the file, the command line. Everything wrong is one
SweepFileError that names file, line, field, value and what is allowed.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jobs.spec import RunSpec, is_sequence, setting_names
from orchestrator.filters import Where, matches, parse_assignment, parse_where
from orchestrator.resources import Resources
from orchestrator.yamlfile import YamlFile, read_yaml
from storage.errors import InputError, SettingError, SweepFileError, nearest

MAX_RUNS = 100_000
_KEYS = ("name", "experiment", "settings", "grid", "when", "folder", "resources")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
UNPREPARED = "unprepared"
"""Fingerprint of specs whose images have not been looked at yet."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep file that has been read, overrides applied; not yet expanded."""

    source: YamlFile
    name: str
    settings: dict[str, Any]
    grid: dict[str, list[Any]]
    when: list[tuple[str, Where, dict[str, Any]]]
    overrides: dict[str, Any]
    folder: Path | None
    resources: Resources

    @property
    def axes(self) -> list[str]:
        """Names of the axes, in the order of the file."""
        return list(self.grid)


def find_sweep(name: str) -> Path:
    """The path of a sweep file, or of one that ships with tausweep, by its name.

    Raises:
        SweepFileError: there is neither.
    """
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml"):
        return path
    shipped = {
        Path(f.name).stem: Path(str(f)) for f in files("jobs.sweeps").iterdir() if f.name.endswith(".yaml")
    }
    if name in shipped:
        return shipped[name]
    raise SweepFileError(
        f"{name}: no such file, and no sweep of this name ships with tausweep; {nearest(name, shipped)}"
    )


def read_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: the YAML file.
        overrides: `key=value[,value…]`: a setting, an axis, `name`, `folder` or `resources.FIELD`.

    Raises:
        SweepFileError: the file is wrong, named with its line.
        InputError: an override is wrong.
    """
    source = read_yaml(path)
    for key in source.content:
        if key not in _KEYS:
            raise SweepFileError(f"{source.place(str(key))}: {key}: no such key; {nearest(str(key), _KEYS)}")
    folder = source.content.get("folder")
    if folder is not None and not isinstance(folder, str):
        raise SweepFileError(
            f"{source.place('folder')}: folder = {folder!r}: the path of a folder of images is needed"
        )
    sweep = Sweep(
        source=source,
        name=_name(source, source.content.get("name", path.stem)),
        settings=_settings(source),
        grid=_grid(source),
        when=list(_when(source)),
        overrides={},
        folder=None if folder is None else (path.parent / Path(folder).expanduser()).resolve(),
        resources=_resources(source),
    )
    for key in sweep.settings:
        if key in sweep.grid:
            raise SweepFileError(
                f"{source.place('grid', key)}: {key} is an axis and also in settings; keep one"
            )
    return _override(sweep, overrides)


def _settings(source: YamlFile) -> dict[str, Any]:
    settings = _section(source, "settings")
    for key in settings:
        _require_setting(source, key, "settings")
    if "experiment" in source.content:
        settings["experiment"] = source.content["experiment"]
    return settings


def _section(source: YamlFile, key: str) -> dict[str, Any]:
    content = source.content.get(key)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SweepFileError(f"{source.place(key)}: {key} = {content!r}: a mapping (field: value) is needed")
    return {str(k): v for k, v in content.items()}


def _name(source: YamlFile, name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SweepFileError(
            f"{source.place('name')}: name = {name!r}: letters, digits, '.', '_' and '-' are allowed, "
            "beginning with a letter or digit, at most 100"
        )
    return name


def _require_setting(source: YamlFile, key: str, *path: str) -> None:
    if key not in setting_names():
        raise SweepFileError(
            f"{source.place(*path, key)}: {key}: no such setting; {nearest(key, setting_names())}"
        )


def _grid(source: YamlFile) -> dict[str, list[Any]]:
    grid = _section(source, "grid")
    for key, values in grid.items():
        _require_setting(source, key, "grid")
        if not isinstance(values, list) or not values:
            raise SweepFileError(
                f"{source.place('grid', key)}: {key} = {values!r}: an axis is a list of values, for example [8, 16]"
            )
        if is_sequence(key) and not all(isinstance(value, list) for value in values):
            raise SweepFileError(
                f"{source.place('grid', key)}: {key} = {values!r}: a list of lists is needed, {key} is itself a list"
            )
        if len({repr(value) for value in values}) < len(values):
            raise SweepFileError(f"{source.place('grid', key)}: {key} = {values!r}: a value is given twice")
    return grid


def _when(source: YamlFile) -> Iterator[tuple[str, Where, dict[str, Any]]]:
    axes = _section(source, "grid")
    for condition, settings in _section(source, "when").items():
        place = source.place("when", condition)
        try:
            where = parse_where(condition.split())
        except InputError as error:
            raise SweepFileError(f"{place}: when: {error}") from error
        if not isinstance(settings, dict) or not settings:
            raise SweepFileError(f"{place}: when {condition}: settings are needed, for example {{lr: 0.001}}")
        for key in settings:
            _require_setting(source, str(key), "when", condition)
            if key in axes:
                raise SweepFileError(
                    f"{source.place('when', condition, key)}: {key} is an axis; `when` can't set it"
                )
        yield condition, where, settings


def _resources(source: YamlFile) -> Resources:
    try:
        return Resources.parse(_section(source, "resources"))
    except SettingError as error:
        raise SweepFileError(f"{source.place('resources', error.field)}: resources: {error}") from error


def _override(sweep: Sweep, overrides: Sequence[str]) -> Sweep:
    for text in overrides:
        key, values = parse_assignment(text)
        if key == "name" and len(values) == 1:
            sweep = replace(sweep, name=_override_name(values[0]))
        elif key == "folder":
            sweep = replace(sweep, folder=Path(text.partition("=")[2]).expanduser().resolve())
        elif key.startswith("resources.") and len(values) == 1:
            field = key.removeprefix("resources.")
            resources = sweep.resources.model_dump() | {field: values[0]}
            sweep = replace(sweep, resources=Resources.parse(resources))
        elif key not in setting_names():
            allowed = [
                *setting_names(),
                "name",
                "folder",
                *(f"resources.{f}" for f in Resources.model_fields),
            ]
            raise InputError(f"{text!r}: no such setting; {nearest(key, allowed)}")
        elif len(values) > 1 or key in sweep.grid:
            sweep = replace(sweep, grid=sweep.grid | {key: values}, overrides=_without(sweep.overrides, key))
        else:
            sweep = replace(sweep, overrides=sweep.overrides | {key: values[0]})
    return sweep


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in mapping.items() if k != key}


def _override_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(f"name={value}: letters, digits, '.', '_' and '-' are allowed")
    return value


def expand(sweep: Sweep) -> list[RunSpec]:
    """The grid's runs, each once, in the order of the file; images not yet looked at (`UNPREPARED`).

    Raises:
        SweepFileError: a point of the grid is no valid run; names file, line, field and value.
    """
    size = math.prod(len(values) for values in sweep.grid.values())
    if size > MAX_RUNS:
        raise SweepFileError(f"{sweep.source.place('grid')}: the grid has {size} points; at most {MAX_RUNS}")
    found: dict[str, RunSpec] = {}
    for values in itertools.product(*sweep.grid.values()):
        point = dict(zip(sweep.grid, values, strict=True))
        settings = sweep.settings | point
        for _, where, changes in sweep.when:
            if matches(where, settings):
                settings |= {key: value for key, value in changes.items() if key not in point}
        settings |= sweep.overrides
        try:
            spec = RunSpec.from_settings({**settings, "fingerprint": UNPREPARED})
        except SettingError as error:
            raise SweepFileError(_point_error(sweep, point, error)) from error
        if spec.data.data == "folder" and sweep.folder is None:
            raise SweepFileError(
                f"{sweep.source.place('settings', 'data')}: data = folder: give the top-level key `folder: PATH`"
            )
        found.setdefault(spec.run_id, spec)
    return list(found.values())


def _point_error(sweep: Sweep, point: dict[str, Any], error: SettingError) -> str:
    field = error.field
    if field in sweep.overrides:
        place = "command line"
    elif field in point or ("grid", field) in sweep.source.lines:
        place = sweep.source.place("grid", field)
    else:
        conditions: Iterable[str] = (condition for condition, _, changes in sweep.when if field in changes)
        condition = next(iter(conditions), None)
        place = (
            sweep.source.place("when", condition, field)
            if condition
            else sweep.source.place("settings", field)
        )
    where = ", ".join(f"{key}={value}" for key, value in point.items())
    return f"{place}: {error}" + (f" (at {where})" if where else "")
