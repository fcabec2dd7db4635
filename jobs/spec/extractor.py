"""The networks whose features may give a Fréchet distance, and the name of the distance.

Torch-free.

Called by the settings, the plan and the workers; the networks themselves are in `jobs.quality.extractors`.
"""

from __future__ import annotations

import re

from tausweep.jobs.spec.metrics import FID, FRECHET
from tausweep.storage.errors import SettingError, nearest

INCEPTION = "inception"
SUBSTITUTE = "random_conv"
"""Stands in for Inception in a store without its weights."""

EXTRACTORS = (INCEPTION, SUBSTITUTE)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:(?P<name>[A-Za-z_]\w*)")


def require_extractor(name: str) -> None:
    """Check that a name is that of an extractor, or has the form `package.module:Class`.

    Raises:
        SettingError: it is not; the message has the nearest valid name.
    """
    if name not in EXTRACTORS and not _DOTTED.fullmatch(name):
        problem = f"{nearest(name, EXTRACTORS)}; or your own FeatureExtractorBase as package.module:Class"
        raise SettingError("extractor", name, problem)


def used_extractor(extractor: str, weights: str | None) -> str:
    """The extractor that a run uses: a substitute for Inception if its weights are not staged."""
    return SUBSTITUTE if extractor == INCEPTION and weights is None else extractor


def metric_name(used: str) -> str:
    """The name of the distance: `fid` only for Inception, else `frechet_` and the extractor's name."""
    if used == INCEPTION:
        return FID
    match = _DOTTED.fullmatch(used)
    return f"{FRECHET}{match['name'] if match else used}"


def substitution(extractor: str, weights: str | None) -> str | None:
    """A message if another extractor replaces the requested one, else None."""
    used = used_extractor(extractor, weights)
    if used == extractor:
        return None
    return (
        f"extractor = {extractor}: the store has no Inception weights, so the distance is measured in the features of "
        f"{used} and called {metric_name(used)}, which is not an FID. For FID, stage the weights with "
        "`tausweep data fid-weights --from FILE`; this changes the run ids"
    )
