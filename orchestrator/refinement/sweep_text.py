"""Adds the points of a refinement to the text of a sweep file, keeping the user's own lines."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.results import RunTimescales
from tausweep.orchestrator.datasets.staging import identify
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.refinement.proposals import Proposal
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import find_sweep, read_sweep
from tausweep.storage.errors import DataError, InputError, SweepFileError
from tausweep.storage.files.atomic import publish_bytes
from tausweep.storage.layout import StoreLayout

_NAME_LINE = re.compile(r"^name:.*$", re.MULTILINE)


_FOLDER_LINE = re.compile(r"^folder:.*$", re.MULTILINE)


def with_points(text: str, points: Sequence[dict[str, Any]]) -> str:
    """A sweep file's text with more points and otherwise unchanged.

    Raises:
        InputError: the file has points in a form that cannot be extended.
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
                    "points: write them as a block, one `- {…}` per line, so that more can be added"
                )
            indent = " " * value.start_mark.column
            at = value.end_mark.index
            return text[:at] + "".join(indent + line.lstrip() for line in lines) + text[at:]
    return text + "points:\n" + "".join(lines)


def child_text(text: str, name: str, folder: Path | None) -> str:
    """A sweep file's text under another name, with the full path of its folder of images.

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


# EMPTY


def points_of(
    plan: Plan, proposals: Sequence[Proposal], runs: Sequence[RunTimescales], budget: int
) -> list[dict[str, Any]]:
    """Proposed runs as points of a sweep file: n, seed and steps, and the rest as in the nearest run.

    Args:
        plan: the sweep.
        proposals: proposed runs of its conditions.
        runs: the measured runs of the sweep.
        budget: steps of each point.
    """
    settings = {run.run_id: run.spec.settings() for run in plan.runs}
    names = {name for one in settings.values() for name in one}
    varying = {name for name in names if len({repr(one.get(name)) for one in settings.values()}) > 1}
    points = []
    for proposal in proposals:
        own = [run for run in runs if condition_of(run) == proposal.condition]
        like = settings[min(own, key=lambda run: abs(run.n / proposal.n - 1)).run_id]
        wanted = sorted(varying.union(plan.axes) - {"n", "seed", "steps"})
        fixed = {name: like[name] for name in wanted if name in like}
        points.append({"n": proposal.n, **fixed, "steps": budget, "seed": proposal.seed})
    return points


def parent_file(plan: Plan) -> Path:
    """The sweep file that a stored sweep came from.

    Raises:
        InputError: the file no longer exists.
    """
    try:
        path = find_sweep(plan.source)
    except InputError:
        path = Path(plan.source)
    if not path.is_file():
        raise InputError(
            f"{plan.sweep}: its sweep file {plan.source} does not exist; give the file instead of the name"
        )
    return path


def write_points(layout: StoreLayout, parent: Path, out: Path, points: Sequence[dict[str, Any]]) -> None:
    """Add points to a sweep file, or to a copy of it under another name, whole or not at all.

    Args:
        layout: the store, which may have the images.
        parent: the sweep file.
        out: the same file, or a child that has the parent's runs and the points.
        points: settings of one run each.

    Raises:
        InputError: the child exists, or the result is not a valid sweep or needs more images than exist.
    """
    sweep = read_sweep(parent)
    text = parent.read_text(encoding="utf-8")
    same = out.exists() and out.samefile(parent)
    if out.exists() and not same:
        raise InputError(
            f"--out {out}: exists; name a new file, or the sweep's own file {parent} to extend it"
        )
    if not same:
        text = child_text(text, out.stem, sweep.folder)
    text = with_points(text, points)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        try:
            identify(expand(read_sweep(Path(draft.name))), sweep.folder, layout)
        except SweepFileError as error:
            raise InputError(str(error).replace(draft.name, str(out))) from error
        except DataError as error:
            raise InputError(f"--out {out}: {error}; limit it with --largest-n") from error
    try:
        publish_bytes(out, text.encode())
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from error
