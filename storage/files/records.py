"""JSON records with a schema version, written whole and checked when read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tausweep.storage.errors import CorruptFileError, SchemaError
from tausweep.storage.files.atomic import publish_bytes, publish_new
from tausweep.storage.files.object_store import read

SCHEMA_VERSION = 1
"""Version that every record and part carries; a reader refuses others by name."""


def _dump(record: dict[str, Any]) -> bytes:
    document = {"schema": SCHEMA_VERSION, **record}
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def write_record(target: Path, record: dict[str, Any]) -> None:
    """Publish a JSON record, with the schema version added."""
    publish_bytes(target, _dump(record))


def write_new_record(target: Path, record: dict[str, Any]) -> bool:
    """Publish a JSON record if the target does not exist; return whether this call made it."""
    return publish_new(target, lambda file: file.write(_dump(record)))


def read_record(path: Path, *required: str) -> dict[str, Any]:
    """Read a JSON record.

    Args:
        path: the file.
        required: keys that the caller will look up.

    Raises:
        FileNotFoundError: the file does not exist.
        CorruptFileError: it is not a JSON object.
        SchemaError: it has another schema version, or a required key is missing.
    """
    content = read(path)
    try:
        record = json.loads(content)
    except ValueError as error:
        raise CorruptFileError(f"{path}: not JSON ({error}); restore it or move it away") from error
    if not isinstance(record, dict):
        raise CorruptFileError(f"{path}: expected a JSON object, not {type(record).__name__}")
    version = record.pop("schema", None)
    if version != SCHEMA_VERSION:
        raise SchemaError(f"{path}: schema {version!r}; this version of tausweep reads {SCHEMA_VERSION}")
    if missing := [key for key in required if key not in record]:
        raise SchemaError(f"{path}: {', '.join(missing)} missing; restore it or move it away")
    return record
