"""Reads YAML and remembers the line of every key, for errors that point at the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from storage.errors import SweepFileError

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class YamlFile:
    """A mapping read from YAML, and where its keys stand.

    Attributes:
        name: for messages.
        content: the mapping.
        lines: key path → line, from 1.
    """

    name: str
    content: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def place(self, *path: str) -> str:
        """`file:line` of a key, or of its nearest parent that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return self.name


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file whose top level is a mapping.

    Raises:
        SweepFileError: no such file, not text, not YAML, a key given twice or not a string, not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SweepFileError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SweepFileError(f"{path}: can't be read as text ({error})") from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        _collect(node, (), lines, path, frozenset())
        content = loader.construct_document(node) if node is not None else {}
    except yaml.YAMLError as error:
        raise SweepFileError(_syntax(path, error)) from error
    except (ValueError, RecursionError) as error:  # a scalar such as 2026-13-45 that YAML takes for a date
        raise SweepFileError(f"{path}: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise SweepFileError(f"{path}: a mapping (key: value) is needed, found {type(content).__name__}")
    return YamlFile(str(path), content, lines)


def _collect(
    node: yaml.Node | None, path: KeyPath, lines: dict[KeyPath, int], file: Path, above: frozenset[int]
) -> None:
    if node is not None and id(node) in above:
        raise SweepFileError(f"{file}:{node.start_mark.line + 1}: a value that contains itself")
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise SweepFileError(f"{file}:{line}: a key must be a word")
        inner = (*path, key.value)
        if inner in lines:
            raise SweepFileError(
                f"{file}:{line}: {key.value} is given twice (first in line {lines[inner]}); keep one"
            )
        lines[inner] = line
        _collect(value, inner, lines, file, above | {id(node)})


def _syntax(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1}: {problem}" if mark is not None else f"{path}: {problem}"
