"""Lists the folders of a store, on a file system or on an object store.

Called by the layout, which knows what the names mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tausweep.storage.files.object_store import is_object

_NUMBER = re.compile(r"0|[1-9][0-9]*")


def names(folder: Path) -> list[str]:
    """Names of everything in a folder; empty if there is no such folder."""
    try:
        return [path.name for path in folder.iterdir()] if is_object(folder) else os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def stems(folder: Path, suffix: str) -> list[str]:
    """The visible files of a folder with a suffix, sorted, without the suffix."""
    visible = (name for name in names(folder) if name.endswith(suffix) and not name.startswith("."))
    return sorted(name.removesuffix(suffix) for name in visible)


def numbers(folder: Path, suffix: str) -> list[int]:
    """The numbers that name files of a folder, ascending; files with other names are not ours."""
    return sorted(int(stem) for stem in stems(folder, suffix) if _NUMBER.fullmatch(stem))


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A folder and those below it, each with the names of its folders and of its files."""
    if is_object(folder):
        yield from cast(Any, folder).walk()
    else:
        yield from ((Path(here), folders, files) for here, folders, files in os.walk(folder))
