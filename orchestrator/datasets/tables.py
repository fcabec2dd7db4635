"""Image sets in tables: Parquet files, and folders that Hugging Face's `datasets` saved (Arrow streams).

Both keep an image as `{bytes, path}` or as plain bytes in a column, and may have a column of classes. Read
with pyarrow, batch by batch; `datasets` itself is not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tausweep.orchestrator.datasets.sources import Class, Source, natural
from tausweep.storage.errors import DataError, InputError, UnreadableImageError, nearest

_ROWS = 64  # images per batch: one batch is in memory
_SHARD = re.compile(r"(?P<split>.+)-[0-9]{5}-of-[0-9]{5}\.parquet")


@dataclass(frozen=True)
class _Row:
    name: str
    label: Class | None
    content: bytes | None

    def read(self) -> bytes:
        if self.content is None:
            raise UnreadableImageError(f"{self.name}: holds no image, only a path or nothing")
        return self.content


@dataclass(frozen=True)
class _Table:
    place: Path
    form: str
    files: Sequence[Path]
    image: str
    label: str | None
    rows: int
    class_names: Sequence[str] | None

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[_Row]:
        columns = [self.image, *([self.label] if self.label else [])]
        for file in self.files:
            row = 0
            for batch in _batches(file, columns):
                images = _bytes(batch.column(self.image)).to_pylist()
                labels = batch.column(self.label).to_pylist() if self.label else [None] * len(images)
                for content, label in zip(images, labels, strict=True):
                    name = f"{file.name}[{row}]"
                    if self.label and (label is None or label == -1):  # -1: `datasets` for "no class"
                        raise DataError(f"{self.place}: {name}: no class in column {self.label!r}")
                    yield _Row(name, label, content)
                    row += 1


def table_files(place: Path, split: str | None) -> list[Path]:
    """The Arrow or Parquet files of an image set, in order; none if it is not a table.

    Args:
        place: a Parquet file, a folder of them, or a folder made by `save_to_disk` of a Dataset or
            DatasetDict.
        split: the split, if there are several.

    Raises:
        InputError: there are several splits and none was chosen, or the split does not exist.
    """
    if place.is_file():
        return [place] if place.suffix == ".parquet" else []
    if (place / "dataset_dict.json").is_file():
        splits = _json(place / "dataset_dict.json")["splits"]
        return table_files(place / _chosen(place, split, splits), None)
    if (place / "state.json").is_file():
        return [place / file["filename"] for file in _json(place / "state.json")["_data_files"]]
    files = sorted(place.rglob("*.parquet"), key=lambda file: natural(PurePosixPath(file.as_posix())))
    shards = {file: match["split"] for file in files if (match := _SHARD.fullmatch(file.name))}
    splits = sorted(set(shards.values()))
    if split is None and len(splits) < 2:
        return files
    chosen = _chosen(place, split, splits)
    return [file for file, name in shards.items() if name == chosen]


def open_table(place: Path, files: Sequence[Path], image: str | None, label: str | None) -> Source:
    """The images of Arrow or Parquet files.

    Args:
        place: the path that the user named.
        files: see `table_files`.
        image: column of the images; `image` by default.
        label: column of the classes; `label` by default, if there is one.

    Raises:
        InputError: no such column; the message lists the existing ones.
        DataError: a file is damaged, or a column holds something else.
    """
    schema = _schema(files[0])
    image = _column(place, schema, "--image-column", image or "image")
    if label is not None or "label" in schema.names:
        label = _column(place, schema, "--label-column", label or "label")
        kind = schema.field(label).type
        if not pa.types.is_integer(kind) and not pa.types.is_string(kind):
            raise DataError(f"{place}: column {label!r} holds {kind}; classes are integers or words")
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
        raise DataError(f"{place}: column {image!r} holds {kind}; images are bytes, or {{bytes, path}}")
    return _Table(
        place=place,
        form="parquet" if files[0].suffix == ".parquet" else "arrow",
        files=files,
        image=image,
        label=label,
        rows=sum(map(_count, files)),
        class_names=_class_names(schema, label),
    )


def _chosen(place: Path, split: str | None, splits: Sequence[str]) -> str:
    if split is not None and split in splits:
        return split
    given = (
        f"--split {split}: no such split in {place}" if split else f"{place} has several splits; give --split"
    )
    raise InputError(f"{given}; {nearest(split or '', splits)}")


def _column(place: Path, schema: pa.Schema, option: str, name: str) -> str:
    if name not in schema.names:
        raise InputError(f"{option} {name}: no such column in {place}; {nearest(name, schema.names)}")
    return name


def _class_names(schema: pa.Schema, label: str | None) -> list[str] | None:
    """Class names that `datasets` keeps in the schema for a column of type ClassLabel."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None or label is None:
        return None
    names: list[str] | None = json.loads(written)["info"]["features"].get(label, {}).get("names")
    return names


def _bytes(column: pa.Array) -> pa.Array:
    return column.field("bytes") if pa.types.is_struct(column.type) else column


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); the data set is damaged") from error
    return content


def _opened(file: Path) -> Any:
    try:
        if file.suffix == ".parquet":
            return pq.ParquetFile(file)
        return pa.ipc.open_stream(pa.memory_map(str(file)))
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing; the data set is incomplete") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a complete Arrow or Parquet file ({error})") from error


def _schema(file: Path) -> pa.Schema:
    opened = _opened(file)
    return opened.schema_arrow if file.suffix == ".parquet" else opened.schema


def _count(file: Path) -> int:
    opened = _opened(file)
    if file.suffix == ".parquet":
        rows: int = opened.metadata.num_rows
        return rows
    return sum(len(batch) for batch in _batches(file, None))


def _batches(file: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    opened = _opened(file)
    try:
        if file.suffix == ".parquet":
            yield from opened.iter_batches(batch_size=_ROWS, columns=columns)
        else:
            yield from opened
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: damaged ({error})") from error
