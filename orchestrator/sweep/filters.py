"""`key=value` on spec fields: the one filter language, for `where`, for `when:` and for overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tausweep.jobs.spec.run_spec import setting_names
from tausweep.orchestrator.sweep.yaml_file import parse_value
from tausweep.storage.errors import InputError, nearest

Where = Mapping[str, list[Any]]
"""Field → the values it may have; all fields must fit."""


def split_values(text: str) -> list[str]:
    """Split at commas that stand outside brackets: `8,16` in two, `min(512, n)` and `[1,2]` not."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece.strip() for piece in pieces]


def parse_assignment(text: str) -> tuple[str, list[Any]]:
    """Read `key=value[,value…]`.

    Raises:
        InputError: there is no `=`, no key or an empty value.
    """
    key, sign, values = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise InputError(f"{text!r}: key=value is needed, for example n=32 or optimizer=adam,sgd")
    pieces = split_values(values)
    if "" in pieces:
        raise InputError(f"{text!r}: {key} has an empty value")
    try:
        return key, [parse_value(piece) for piece in pieces]
    except ValueError as error:
        raise InputError(f"{text!r}: {error}") from error


def parse_where(texts: Iterable[str], *, extra: Iterable[str] = ()) -> Where:
    """Read filters.

    Args:
        texts: each `key=value[,value…]`.
        extra: names that may be filtered on besides the settings.

    Raises:
        InputError: as `parse_assignment`, or a key is no setting or given twice.
    """
    allowed = [*setting_names(), *extra]
    where: dict[str, list[Any]] = {}
    for text in texts:
        key, values = parse_assignment(text)
        if key not in allowed:
            raise InputError(f"{text!r}: no setting {key!r}; {nearest(key, allowed)}")
        if key in where:
            raise InputError(
                f"{text!r}: {key} is given twice; for either of two values write {key}=value,value"
            )
        where[key] = values
    return where


def matches(where: Where, row: Mapping[str, Any]) -> bool:
    """Whether a run's flat settings fit a filter; `clip=null` fits runs that have no such setting."""
    return all(any(_equal(value, row.get(key)) for value in values) for key, values in where.items())


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, int) and isinstance(found, int):
        return wanted == found  # as floats, large seeds would be rounded to one
    try:
        return float(wanted) == float(found)
    except (TypeError, ValueError, OverflowError):
        pass
    if isinstance(wanted, list) and isinstance(found, list | tuple):
        return wanted == list(found)
    return str(wanted).replace(" ", "") == str(found).replace(" ", "")
