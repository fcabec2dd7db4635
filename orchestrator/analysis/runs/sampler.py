"""The name of the sampler of a run, which belongs to every time that is read from samples.

Called by the resolver with a run's flat settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {"ancestral": "ancestral", "euler": "Euler", "heun": "Heun", "sde": "SDE"}


def sampler_name(settings: Mapping[str, Any]) -> str | None:
    """Such as "DDIM, 50 steps, eta 1" or "ancestral, 1,000 steps".

    None if the settings have no number of steps.

    Args:
        settings: those of one run, without those that are None.
    """
    steps = settings.get("ddim_steps")
    if steps is None:
        return None
    name = _NAMES.get(settings.get("sampler", ""), "DDIM")
    eta = f", eta {settings['eta']:g}" if settings.get("eta") else ""
    unit = "evaluations" if name == "Heun" else "steps"  # it takes two evaluations per step
    return f"{name}, {steps:,} {unit}{eta}"
