"""Which networks may make the features of a Fréchet distance, and what the distance is then called.

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
    """Check that a name is that of an extractor, or has the form of one's class, `package.module:Class`.

    Raises:
        SettingError: it is not; with the nearest valid name.
    """
    if name not in EXTRACTORS and not _DOTTED.fullmatch(name):
        problem = (
            f"{nearest(name, EXTRACTORS)}; or a FeatureExtractorBase of your own as package.module:Class"
        )
        raise SettingError("extractor", name, problem)


def used_extractor(extractor: str, weights: str | None) -> str:
    """The extractor that a run's settings lead to: the substitute for Inception whose weights were not staged."""
    return SUBSTITUTE if extractor == INCEPTION and weights is None else extractor


def metric_name(used: str) -> str:
    """What the distance is called: `fid` for Inception alone, else `frechet_` and the extractor's name."""
    if used == INCEPTION:
        return FID
    match = _DOTTED.fullmatch(used)
    return f"{FRECHET}{match['name'] if match else used}"


def substitution(extractor: str, weights: str | None) -> str | None:
    """What to tell the user where another extractor takes the place of the one asked for.

    None if none does.
    """
    used = used_extractor(extractor, weights)
    if used == extractor:
        return None
    return (
        f"extractor = {extractor}: the store has no Inception weights, so the distance is taken in the features of "
        f"{used} and called {metric_name(used)}, which is no FID. For FID, stage the weights with "
        "`tausweep data fid-weights --from FILE`; the runs are then others"
    )
