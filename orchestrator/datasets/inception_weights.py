"""The weights of the Inception network that defines FID, put into the store once from a file.

Called by `tausweep data fid-weights`, and by the plan, which writes their digest into the specs of runs.
Workers read them from the store, so compute nodes need no network.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from tausweep.jobs.spec.extractor import INCEPTION
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import CorruptFileError, DataError
from tausweep.storage.files.atomic import publish_path
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout

KNOWN_DIGEST = "6726825d"
"""How the sha256 of torch-fidelity's own weights begins, which its file's name ends with: converted from the network
of the original FID (Heusel et al. 2017), `weights-inception-2015-12-05-6726825d.pth`."""

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def stage_weights(source: Path, layout: StoreLayout, digest: str = KNOWN_DIGEST) -> str:
    """Copy Inception weights into the store; new sweeps use them.

    Args:
        source: file of weights in torch-fidelity's format.
        layout: the store.
        digest: beginning of the file's required sha256, in hex, at least eight digits.

    Returns:
        The complete sha256 in hex.

    Raises:
        DataError: the file does not exist, has another digest, or does not hold weights of this network;
            nothing has changed.
    """
    if not _DIGEST.fullmatch(digest):
        raise DataError(f"--digest {digest}: the first 8 to 64 hex digits of a sha256 are needed")
    if not source.is_file():
        raise DataError(f"--from {source}: no such file; give the path of Inception's weights")
    actual = _sha256(source)
    if not actual.startswith(digest):
        raise DataError(
            f"--from {source}: its sha256 is {actual}, but {digest}… is needed; download the file again, or use "
            "--digest to accept other weights"
        )
    if not actual.startswith(KNOWN_DIGEST):
        from tausweep.jobs.quality.extractors import require_inception

        require_inception(source)
    target = layout.inception_weights(actual)
    if not target.exists():
        publish_path(target, lambda path: _copy(source, path, actual))
    write_record(layout.inception, {"digest": actual, "file": source.name})
    return actual


def staged_digest(layout: StoreLayout) -> str | None:
    """Digest of the weights that new sweeps use; None in a store without weights.

    Raises:
        CorruptFileError: the store names weights that are missing.
    """
    try:
        digest: str = read_record(layout.inception, "digest")["digest"]
    except FileNotFoundError:
        return None
    if not layout.inception_weights(digest).exists():
        raise CorruptFileError(
            f"{layout.inception}: the weights {digest} are missing; stage them again with "
            "`tausweep data fid-weights --from FILE`"
        )
    return digest


def missing_packages(specs: Iterable[RunSpec]) -> str | None:
    """Which extra must be installed for the extractors of runs, with the command that does it; None if none is missing."""
    extractors = sorted({spec.evaluation.extractor for spec in specs if spec.evaluation.extractor})
    if not extractors or find_spec("torch_fidelity") is not None:
        return None
    return (
        f"extractor = {', '.join(extractors)}: torch-fidelity is not installed; install it here and where runs are "
        "executed with: pip install 'tausweep[fid]'"
    )


def with_weights(specs: list[RunSpec], layout: StoreLayout) -> list[RunSpec]:
    """Add the digest of the store's weights to runs that use Inception features; others stay unchanged.

    Raises:
        CorruptFileError: the store names weights that are missing.
    """
    asking = [spec.evaluation.extractor == INCEPTION for spec in specs]
    if not any(asking) or (digest := staged_digest(layout)) is None:
        return specs
    return [_with_digest(spec, digest) if asks else spec for spec, asks in zip(specs, asking, strict=True)]


def _with_digest(spec: RunSpec, digest: str) -> RunSpec:
    evaluation = spec.evaluation.model_copy(update={"extractor_weights": digest})
    return spec.model_copy(update={"evaluation": evaluation})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path, digest: str) -> None:
    shutil.copyfile(source, target)
    if _sha256(target) != digest:
        raise DataError(f"--from {source}: the file changed while it was copied; try again")
