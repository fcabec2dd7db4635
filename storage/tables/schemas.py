"""Columns of the tables, their types and units.

A part is written with exactly one of these schemas and a version; a reader refuses any other, by file name,
instead of filling columns with nulls.
"""

from __future__ import annotations

import pyarrow as pa

from tausweep.storage.files.records import SCHEMA_VERSION
from tausweep.storage.layout import TableName

VERSION_KEY = b"tausweep.schema"


def _schema(*fields: tuple[str, pa.DataType, bool, str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, nullable, {"doc": doc}) for name, kind, nullable, doc in fields],
        metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
    )


_RUN = ("run_id", pa.string(), False, "content id of the run")
_ATTEMPT = ("attempt", pa.int32(), False, "which execution of the run wrote the row, from 1")
_TAU = ("tau", pa.int64(), False, "optimiser updates done")
_SAMPLE = ("sample", pa.int32(), False, "index of the generated sample; one seed each, the same at every tau")

METRICS = _schema(
    _RUN,
    _ATTEMPT,
    _TAU,
    ("images_seen", pa.int64(), False, "training images drawn so far, tau times the batch size"),
    ("t", pa.float64(), True, "diffusion timestep the metric was taken at; null where it has none"),
    ("metric", pa.string(), False, "name of the metric"),
    ("value", pa.float64(), False, "the measurement; what could not be measured has no row"),
    ("wall_time", pa.float64(), False, "when it was measured, seconds since 1970-01-01 UTC"),
)
"""Tidy metrics, one value per row; (run_id, tau, metric, t) is the key."""

NEIGHBOURS = _schema(
    _RUN,
    _ATTEMPT,
    _TAU,
    _SAMPLE,
    ("d1", pa.float64(), False, "Euclidean distance to the nearest training image"),
    ("d2", pa.float64(), False, "Euclidean distance to the second nearest"),
    ("nn1", pa.int32(), False, "index of the nearest training image within the training set"),
    ("nn2", pa.int32(), False, "index of the second nearest"),
)
"""Distances of every generated sample to its two nearest training images; (run_id, tau, sample) is the key."""

SAMPLES = _schema(
    _RUN,
    _ATTEMPT,
    _TAU,
    _SAMPLE,
    ("shape", pa.list_(pa.int32(), 3), False, "channels, height, width"),
    ("image", pa.list_(pa.float32()), False, "pixels, CHW, in the range 0…1 of the images on disk"),
)
"""Generated images kept for galleries; (run_id, tau, sample) is the key."""

SCHEMAS: dict[TableName, pa.Schema] = {"metrics": METRICS, "neighbours": NEIGHBOURS, "samples": SAMPLES}

KEYS: dict[TableName, tuple[str, ...]] = {
    "metrics": ("run_id", "tau", "metric", "t"),
    "neighbours": ("run_id", "tau", "sample"),
    "samples": ("run_id", "tau", "sample"),
}
"""What makes a row one measurement; between attempts the highest wins (see `storage.tables.scan`)."""

MERGED_ORDER: dict[TableName, tuple[str, ...]] = {
    "metrics": ("metric", "t", "run_id", "tau"),
    "neighbours": KEYS["neighbours"],
    "samples": KEYS["samples"],
}
"""How rows of many runs lie in a merged file: a question about one metric reads only that metric's row groups."""
