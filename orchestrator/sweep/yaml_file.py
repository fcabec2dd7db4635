"""Reads YAML and remembers the line of every key, for errors that point at the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from tausweep.storage.errors import SweepFileError

KeyPath = tuple[str, ...]
_DEPTH = 3  # when → condition → setting


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
        raise SweepFileError(f"{path}: cannot be read as text ({error})") from error
    lines: dict[KeyPath, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _collect(node, (), lines, path)
        content = loader.construct_document(node) if node is not None else {}
    except yaml.YAMLError as error:
        raise SweepFileError(_syntax(path, text, error)) from error
    except RecursionError as error:
        raise SweepFileError(f"{path}: nested too deeply, or a value that contains itself") from error
    if not isinstance(content, dict):
        raise SweepFileError(f"{path}: a mapping (key: value) is needed, not {type(content).__name__}")
    return YamlFile(str(path), content, lines)


def parse_value(text: str) -> Any:
    """A single value as YAML reads it.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not a value: {text!r}") from error


def _without_base_60() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What plain words of a file may mean, but 4:00:00 is a text: YAML 1.1 takes it for the number 14400."""
    resolvers = {key: list(found) for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    for found in resolvers.values():
        for index, (tag, pattern) in enumerate(found):
            if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
                found[index] = (tag, re.compile(rf"(?![^:]*:)(?:{pattern.pattern})", pattern.flags))
    return resolvers


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; where a text does not fit its type, its error says the line too."""

    yaml_implicit_resolvers = _without_base_60()

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # 2026-13-45, !!bool 7, !!timestamp x
            problem = (
                f"{node.value[:40]!r} is not {node.tag.rpartition(':')[2]} ({error}); quote it if it is text"
            )
            raise ConstructorError(None, None, problem, node.start_mark) from error


def _collect(node: yaml.Node | None, path: KeyPath, lines: dict[KeyPath, int], file: Path) -> None:
    # No deeper than settings lie: aliases can nest mappings without end, or exponentially often.
    if not isinstance(node, yaml.MappingNode) or len(path) == _DEPTH:
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
        _collect(value, inner, lines, file)


def _syntax(path: Path, text: str, error: yaml.YAMLError) -> str:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"{path}:{line}: {text[error.position]!r}: {error.reason}"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1}: {problem}" if mark is not None else f"{path}: {problem}"
