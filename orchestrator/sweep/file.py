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

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from tausweep.jobs.spec.run_spec import is_sequence, setting_names
from tausweep.orchestrator.sweep.filters import Where, parse_assignment, parse_where
from tausweep.orchestrator.sweep.points import parse_points
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.yaml_file import YamlFile, read_yaml
from tausweep.storage.errors import InputError, SettingError, SweepFileError, nearest

_KEYS = ("name", "experiment", "settings", "grid", "points", "when", "criteria", "folder", "resources")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME_RULE = "letters, digits, '.', '_' and '-' are allowed, beginning with a letter or digit, at most 100"
_NEXT_CONDITION = re.compile(r"\s+(?=[^\s=]+\s*=)")  # not the space in batch=min(512, n)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep file that has been read, overrides applied; not yet expanded.

    Attributes:
        points: single runs beside the grid.
        criteria: names of the criteria that the sweep is resolved by, stated before it is trained; empty for the usual ones.
        overrides: values of the command line; those of an axis have replaced or become one in `grid`.
    """

    source: YamlFile
    name: str
    settings: dict[str, Any]
    grid: dict[str, list[Any]]
    points: list[dict[str, Any]]
    when: list[tuple[str, Where, dict[str, Any]]]
    criteria: tuple[str, ...] = ()
    overrides: dict[str, list[Any]]
    folder: Path | None
    resources: Resources

    @property
    def axes(self) -> list[str]:
        """Names of the axes in the order of the file: those of the grid, then settings that single points give."""
        return list(dict.fromkeys([*self.grid, *(key for point in self.points for key in point)]))


def shipped_sweeps() -> dict[str, Path]:
    """Name → file of the sweeps that ship with tausweep."""
    shipped = files("tausweep.jobs.sweeps").iterdir()
    return {Path(file.name).stem: Path(str(file)) for file in shipped if file.name.endswith(".yaml")}


def find_sweep(name: str) -> Path:
    """The path of a sweep file, or of one that ships with tausweep, by its name.

    Raises:
        SweepFileError: there is neither.
    """
    path = Path(name)
    shipped = shipped_sweeps()
    if name in shipped and not path.is_file():
        return shipped[name]
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
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
    sweep = Sweep(
        source=source,
        name=_name(source, source.content.get("name", path.stem)),
        settings=_settings(source),
        grid=_grid(source),
        points=parse_points(source),
        when=list(_when(source)),
        criteria=_criteria(source),
        overrides={},
        folder=_folder(source, path.parent),
        resources=_resources(source),
    )
    for key in sweep.settings:
        if key in sweep.grid:
            raise SweepFileError(
                f"{source.place('grid', key)}: {key} is an axis and also in settings; keep one"
            )
    for text in overrides:
        sweep = _override(sweep, text)
    _require_conditions_apply(sweep)
    return sweep


def _folder(source: YamlFile, beside: Path) -> Path | None:
    folder = source.content.get("folder")
    if folder is None:
        return None
    try:
        return _path(folder, beside)
    except InputError as error:
        raise SweepFileError(f"{source.place('folder')}: {error}") from error


def _criteria(source: YamlFile) -> tuple[str, ...]:
    criteria = source.content.get("criteria", [])
    if not isinstance(criteria, list) or not all(isinstance(name, str) for name in criteria):
        raise SweepFileError(
            f"{source.place('criteria')}: criteria = {criteria!r}: a list of names is needed, for example [f_mem=0.1]"
        )
    return tuple(criteria)


def _path(folder: object, beside: Path) -> Path:
    if not isinstance(folder, str) or not folder:
        raise InputError(f"folder = {folder!r}: the path of a folder of images is needed")
    try:
        return (beside / Path(folder).expanduser()).resolve()
    except (ValueError, RuntimeError) as error:  # a null byte; the home of a user whom nobody knows
        raise InputError(f"folder = {folder!r}: not a path ({error})") from error


def _require_conditions_apply(sweep: Sweep) -> None:
    """A condition on what nobody sets would never be met, silently: defaults are filled in later."""
    given = {"experiment", *sweep.settings, *sweep.grid, *sweep.overrides}
    given |= {key for changes in (*sweep.points, *(c for _, _, c in sweep.when)) for key in changes}
    for condition, where, _ in sweep.when:
        for key in where.keys() - given:
            raise SweepFileError(
                f"{sweep.source.place('when', condition)}: when {condition}: {key} is neither an axis nor in "
                "settings; give it there"
            )


def _settings(source: YamlFile) -> dict[str, Any]:
    settings = _section(source, "settings")
    for key in settings:
        _require_setting(source, key, "settings")
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
            f"{source.place('name')}: name = {name!r}: {_NAME_RULE}; put quotes around a number"
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
            where = parse_where(_NEXT_CONDITION.split(condition.strip()))
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
        place = source.place("resources", *error.field.split("."))
        raise SweepFileError(f"{place}: resources: {error}") from error


def _override(sweep: Sweep, text: str) -> Sweep:
    key, _, value = (part.strip() for part in text.partition("="))
    if value and key == "folder":
        return replace(sweep, folder=_path(value, Path()))
    if value and key == "name":
        if not _NAME.fullmatch(value):
            raise InputError(f"{text!r}: {_NAME_RULE}")
        return replace(sweep, name=value)
    key, values = parse_assignment(text)
    if key.startswith("resources."):
        field, _, inner = key.removeprefix("resources.").partition(".")
        change: Any = values[0] if len(values) == 1 else values
        now = sweep.resources.model_dump(exclude_unset=True)
        if inner and field == "slurm":
            change = now.get(field, {}) | {inner: change}
        elif inner:
            field = f"{field}.{inner}"
        try:
            return replace(sweep, resources=Resources.parse(now | {field: change}))
        except SettingError as error:
            raise InputError(f"{text!r}: {error}") from error
    if key not in setting_names():
        allowed = [*setting_names(), "name", "folder", *(f"resources.{f}" for f in Resources.model_fields)]
        raise InputError(f"{text!r}: no such setting; {nearest(key, allowed)}")
    is_axis = len(values) > 1 or key in sweep.grid
    return replace(
        sweep,
        grid=sweep.grid | ({key: values} if is_axis else {}),
        overrides=sweep.overrides | {key: values},
    )
