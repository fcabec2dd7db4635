"""The inputs of a run, as a worker reads them: its spec, and the prepared images in its store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from tausweep.jobs.spec.data import Images, Imported
from tausweep.jobs.spec.fields import Group
from tausweep.jobs.spec.run_spec import RunSpec, stored_spec
from tausweep.storage.errors import CorruptFileError, DataError
from tausweep.storage.files.local_copies import local_copy
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import RunDirectory, StoreLayout

if TYPE_CHECKING:
    from tausweep.jobs.quality.feature_distance import FeatureInputs


def open_spec(run: RunDirectory) -> RunSpec:
    """Read a run's spec.

    Raises:
        IdentityError: the spec is not that of this run.
        CorruptFileError, SchemaError, SettingError: it cannot be read.
    """
    return stored_spec(run.run_id, read_record(run.spec, "settings")["settings"])


def open_images(run: RunDirectory, spec: RunSpec) -> np.ndarray | None:
    """Map the images of a run, uint8 (N, C, H, W); None if its data are synthetic.

    Raises:
        DataError: the store does not have them.
    """
    if not isinstance(spec.data, Images):
        return None
    path = run.store.images(spec.data.fingerprint)
    try:
        return np.load(local_copy(path), mmap_mode="r")  # type: ignore[no-any-return]
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the prepared images are missing; submit or resume the sweep again to prepare them"
        ) from error


def open_features(run: RunDirectory, spec: RunSpec) -> FeatureInputs | None:
    """The inputs of a run's extractor from its store; None if it has no extractor.

    Raises:
        DataError: the store lacks the Inception weights that the spec names.
        CorruptFileError: the file's digest differs.
    """
    if spec.evaluation.extractor is None:
        return None
    from tausweep.jobs.quality.feature_distance import FeatureInputs
    from tausweep.workers.reference_statistics import StoredStatistics

    statistics, digest = StoredStatistics(run.store), spec.evaluation.extractor_weights
    if digest is None:
        return FeatureInputs(statistics=statistics)
    path = run.store.inception_weights(digest)
    try:
        weights = local_copy(path)
        with weights.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the Inception weights are missing; put them there with `tausweep data fid-weights --from FILE`"
        ) from error
    if actual != digest:
        raise CorruptFileError(f"{weights}: its sha256 is {actual}; remove it and stage the weights again")
    return FeatureInputs(weights=weights, statistics=statistics)


def open_labels(store: StoreLayout, data: Group) -> np.ndarray | None:
    """The classes of imported images, int64 (N,); None if the data have no classes."""
    if not isinstance(data, Imported):
        return None
    try:
        return np.load(local_copy(store.labels(data.fingerprint)))  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None
