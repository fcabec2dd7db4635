"""Statistics of held-out images, kept in the store and in this process.

Implements `jobs.quality.reference_sets.StatisticsStore`. A file appears whole or not at all, and two workers
that write the same file write the same contents.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict

import numpy as np

from tausweep.jobs.quality.frechet import Gaussian
from tausweep.storage.errors import CorruptFileError
from tausweep.storage.files.atomic import publish
from tausweep.storage.files.object_store import read
from tausweep.storage.layout import StoreLayout

_KEPT = 16  # with 2,048 features each takes 34 MB
_recent: OrderedDict[str, Gaussian] = OrderedDict()


class StoredStatistics:
    """The statistics of a store.

    Their keys name everything they depend on, so this process caches them across stores.
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout

    def load(self, key: str) -> Gaussian | None:
        """The statistics under a key, None if there are none.

        Raises:
            CorruptFileError: the file exists but cannot be read.
        """
        if key in _recent:
            _recent.move_to_end(key)
            return _recent[key]
        path = self._layout.statistics(key)
        try:
            with np.load(io.BytesIO(read(path)), allow_pickle=False) as file:
                gaussian = Gaussian(mean=file["mean"], factor=file["factor"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CorruptFileError(
                f"{path}: not readable as statistics ({error}); remove it, and it will be recomputed"
            ) from error
        _remember(key, gaussian)
        return gaussian

    def save(self, key: str, gaussian: Gaussian) -> None:
        """Store the statistics; another process may do the same at the same time."""
        publish(
            self._layout.statistics(key),
            lambda file: np.savez(file, mean=gaussian.mean, factor=gaussian.factor),
        )
        _remember(key, gaussian)


def _remember(key: str, gaussian: Gaussian) -> None:
    _recent[key] = gaussian
    if len(_recent) > _KEPT:
        _recent.popitem(last=False)
