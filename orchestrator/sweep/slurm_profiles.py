"""Profiles: what a site or a queue of it asks of every job, kept apart from sweeps that run anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.sweep.slurm_options import SlurmOptions
from tausweep.orchestrator.sweep.yaml_file import read_yaml
from tausweep.storage.errors import SettingError, SweepFileError, nearest

_SHIPPED = "tausweep.slurm_profiles"


def shipped_profiles() -> Mapping[str, Path]:
    """Name → file of the profiles that ship with tausweep."""
    return {
        Path(file.name).stem: Path(str(file))
        for file in files(_SHIPPED).iterdir()
        if file.name.endswith(".yaml")
    }


def read_profile(name: str) -> dict[str, Any]:
    """The fields that a profile sets.

    Args:
        name: a YAML file, or a profile that ships with tausweep.

    Raises:
        SweepFileError: there is neither, or it is wrong; with file and line.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        shipped = shipped_profiles()
        if name not in shipped:
            raise SweepFileError(
                f"--profile {name}: no such file, and no profile of this name ships with tausweep; "
                f"{nearest(name, shipped)}"
            )
        path = shipped[name]
    source = read_yaml(path)
    try:
        SlurmOptions.parse(source.content, prefix="")
    except SettingError as error:
        raise SweepFileError(f"{source.place(error.field)}: {error}") from error
    return source.content


def with_profile(resources: Resources, profile: Mapping[str, Any]) -> Resources:
    """Resources of a sweep on a site: what the sweep file sets itself wins over the profile."""
    own = resources.slurm.model_dump(exclude_unset=True)
    if "sbatch" in own:
        own["sbatch"] = {**profile.get("sbatch", {}), **own["sbatch"]}
    return resources.model_copy(update={"slurm": SlurmOptions.parse({**profile, **own})})
