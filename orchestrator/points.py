"""Single points of a sweep beside its grid: `points:`, a list of settings for one run each.

Read by the sweep file; written by `refine`, which proposes runs that form no grid.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jobs.spec import setting_names
from orchestrator.filters import matches
from orchestrator.yamlfile import YamlFile
from storage.errors import InputError, SweepFileError, nearest

_NAME_LINE = re.compile(r"^name:.*$", re.MULTILINE)
_FOLDER_LINE = re.compile(r"^folder:.*$", re.MULTILINE)


def parse_points(source: YamlFile) -> list[dict[str, Any]]:
    """The points of a sweep file.

    Raises:
        SweepFileError: they are no list of mappings, or a key is no setting.
    """
    points = source.content.get("points")
    if points is None:
        return []
    place = source.place("points")
    if not isinstance(points, list) or not points:
        raise SweepFileError(
            f"{place}: points = {points!r}: a list of points is needed, such as [{{n: 24, seed: 0}}]"
        )
    for point in points:
        if not isinstance(point, dict) or not point:
            raise SweepFileError(
                f"{place}: points: {point!r}: settings of one run are needed, such as {{n: 24, seed: 0}}"
            )
        for key in point:
            if key not in setting_names():
                raise SweepFileError(
                    f"{place}: points: {key}: no such setting; {nearest(str(key), setting_names())}"
                )
    return points


def all_points(
    grid: Mapping[str, list[Any]], points: Sequence[dict[str, Any]], overrides: Mapping[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """The settings of every point: the grid's product, if there is a grid, and then the single points.

    An override of a setting that a single point gives chooses among these.
    """
    if grid or not points:
        for values in itertools.product(*grid.values()):
            yield dict(zip(grid, values, strict=True))
    for point in points:
        if matches({key: values for key, values in overrides.items() if key in point}, point):
            yield point


def with_points(text: str, points: Sequence[dict[str, Any]]) -> str:
    """A sweep file's text with further points, all else as it was.

    Raises:
        InputError: the file has points in a form that can't be added to.
    """
    lines = [f"  - {_flow(point)}\n" for point in points]
    if not text.endswith("\n"):
        text += "\n"
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    for key, value in root.value:
        if key.value == "points":
            if not isinstance(value, yaml.SequenceNode) or value.flow_style:
                raise InputError(
                    "points: write them as a block, one `- {…}` a line, so that more can be added"
                )
            indent = " " * value.start_mark.column
            at = value.end_mark.index
            return text[:at] + "".join(indent + line.lstrip() for line in lines) + text[at:]
    return text + "points:\n" + "".join(lines)


def child_text(text: str, name: str, folder: Path | None) -> str:
    """A sweep file's text under another name; a folder of images is given by its whole path.

    Args:
        text: of the parent.
        name: of the child.
        folder: the parent's folder of images, if it has one.
    """
    line = f"name: {name}"
    text = _NAME_LINE.sub(line, text, count=1) if _NAME_LINE.search(text) else f"{line}\n{text}"
    return (
        text
        if folder is None
        else _FOLDER_LINE.sub(lambda _: f"folder: {json.dumps(str(folder))}", text, count=1)
    )


def _flow(point: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {json.dumps(value)}" for key, value in point.items()) + "}"
