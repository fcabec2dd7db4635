"""The code and hardware of an attempt, recorded before step 0 so that even attempts that die have them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("tausweep", "torch", "diffusers", "numpy", "pyarrow")
_DIFF_CHARACTERS = 200_000


@cache
def provenance(device: torch.device) -> dict[str, Any]:
    """Code version, packages and hardware, as flat JSON values."""
    record: dict[str, Any] = {f"{name}_version": version(name) for name in _PACKAGES}
    record |= _git()
    record |= {
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "command": sys.argv[0],
    }
    return record


def _git() -> dict[str, Any]:
    """Commit and local changes of the checkout this code runs from.

    Empty for an installed package.
    """
    here = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    tracked = git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))
    commit = git("rev-parse", "HEAD")
    if tracked is None or commit is None:
        return {}
    return {"git_commit": commit.strip(), "git_diff": (git("diff", "HEAD") or "")[:_DIFF_CHARACTERS]}
