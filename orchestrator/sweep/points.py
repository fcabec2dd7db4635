"""Single points of a sweep beside its grid: `points:`, a list of settings for one run each.

Read by the sweep file; written by `refine`, which proposes runs that form no grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tausweep.jobs.spec.run_spec import setting_names
from tausweep.orchestrator.sweep.filters import matches
from tausweep.orchestrator.sweep.yaml_file import YamlFile
from tausweep.storage.errors import SweepFileError, nearest


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
