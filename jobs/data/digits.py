"""scikit-learn's digits: 1,797 images of 8×8, read from its own file without importing it."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.arrays import Bytes, Labels
from tausweep.jobs.data.images import prepared_split
from tausweep.jobs.data.split import Split
from tausweep.jobs.spec.data import Digits
from tausweep.storage.errors import DataError


def digits() -> Bytes:
    """scikit-learn's digits in the order of `load_digits`, 0…16 scaled to 0…255, (1797, 1, 8, 8)."""
    return np.rint(_digits_table()[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)


def digits_labels() -> Labels:
    """Which digit each image of `digits` shows, 0…9, (1797,) int64."""
    return _digits_table()[:, 64].astype(np.int64)


def digits_split(data: Digits, images: Bytes, labels: Labels | None) -> Split:  # noqa: ARG001 - they bring none
    """Split the digits like other prepared images, with their known labels."""
    return prepared_split(data, images, digits_labels())


@functools.cache
def _digits_table() -> NDArray[np.float64]:
    # Each row has 64 pixels and the label. Read from the package's file: importing scikit-learn takes a
    # second.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("data = digits: scikit-learn is not installed; install it or use data = folder")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",")
    table.flags.writeable = False
    return table
