"""Files of a user's that stand in the way of packages that tausweep needs.

What we start never imports from the working directory (`python -P`), but a folder that PYTHONPATH names comes before
all that is installed: a `torch.py` in it is then torch. Called first of all by the command line and by workers, so it
loads nothing but the standard library and our errors.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from tausweep.storage.errors import InputError


def require_no_shadow(environment: Mapping[str, str] = os.environ) -> None:
    """Check that no single file on PYTHONPATH takes the place of an installed package that we need.

    A folder there may be a deliberate one, such as a patched diffusers, and is let be.

    Raises:
        InputError: there is such a file; names it, the package that it hides, and what to do.
    """
    for file in _files_of_packages(environment):
        needed = _needed()
        if file.stem in needed:
            raise InputError(
                f"{file} stands in the way of the package {needed[file.stem]}: PYTHONPATH names its folder, which comes "
                "before all that is installed. Rename the file, or take its folder out of PYTHONPATH"
            )


def _files_of_packages(environment: Mapping[str, str]) -> Iterator[Path]:
    """Files NAME.py in the folders of PYTHONPATH whose NAME is an installed package, a folder of site-packages."""
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    for folder in _folders(environment):
        # On clusters, modules put whole installations on PYTHONPATH: those are packages, not files of the user's.
        if not folder.is_dir() or any(folder.glob("*.dist-info")):
            continue
        for file in sorted(folder.glob("*.py")):
            if any((site / file.stem / "__init__.py").is_file() for site in installed):
                yield file


def _folders(environment: Mapping[str, str]) -> list[Path]:
    """The folders that PYTHONPATH names; an empty entry, as in `:/here`, is the working directory, also under -P."""
    named = environment.get("PYTHONPATH", "")
    return [Path(entry or os.curdir).absolute() for entry in named.split(os.pathsep)] if named else []


def _needed() -> dict[str, str]:
    """Import name → distribution of all that tausweep needs, directly or not; without extras it is not installed for."""
    distributions = {}
    waiting = ["tausweep"]
    while waiting:
        name = _normal(waiting.pop())
        if name in distributions:
            continue
        try:
            distributions[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra, or of another platform
        requirements = distributions[name].requires or ()
        waiting += [match[0] for text in requirements if (match := re.match(r"[\w.-]+", text))]
    return {
        path.parts[0]: name
        for name, distribution in distributions.items()
        if name != "tausweep"
        for path in distribution.files or ()
        if len(path.parts) == 2 and path.name == "__init__.py"
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def loaded_shadow(environment: Mapping[str, str] = os.environ) -> Path | None:
    """A file on PYTHONPATH that was imported in place of a part of Python, or of an installed package; None if none was.

    For whoever met an ImportError or AttributeError that has no other explanation.
    """
    folders = [folder.resolve() for folder in _folders(environment)]
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or "." in name:
            continue
        path = Path(file).resolve()
        place = path.parents[1] if path.name == "__init__.py" else path.parent
        hidden = name in sys.stdlib_module_names or any(
            (site / name).exists() or (site / f"{name}.py").exists() for site in installed
        )
        if place in folders and hidden and not any(place.glob("*.dist-info")):
            return path
    return None
