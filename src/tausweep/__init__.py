"""tausweep: sweeps of diffusion-model trainings, and the scaling laws of their memorisation.

What is imported from here is the stable Python interface (`tausweep.orchestrator.api`): its names keep their meaning
within a major version; everything else may change.

    import tausweep
    result = tausweep.resolve_sweep("runs", "quickstart")
    result.fits[0].exponent  # Estimate(estimate=0.64, low=0.38, high=0.91)

Names are loaded when they are first used: `import tausweep` itself loads nothing but this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from tausweep.orchestrator.api import (
        ESTIMATES,
        FIT_VERSION,
        Criterion,
        Curve,
        Estimate,
        FitResult,
        RunCurves,
        curves_of,
        draw_spectrum,
        estimates,
        parse_criterion,
        read_result,
        resolve,
        resolve_sweep,
        write_result,
    )

__all__ = [
    "ESTIMATES",
    "FIT_VERSION",
    "Criterion",
    "Curve",
    "Estimate",
    "FitResult",
    "RunCurves",
    "__version__",
    "curves_of",
    "draw_spectrum",
    "estimates",
    "main",
    "parse_criterion",
    "read_result",
    "resolve",
    "resolve_sweep",
    "write_result",
]


def main() -> None:
    """Run the command line: the entry point of the command `tausweep`."""
    import sys

    from tausweep.shadowing import loaded_shadow, require_no_shadow
    from tausweep.storage.errors import InputError

    try:
        require_no_shadow()
        from tausweep.orchestrator.cli.app import main as command_line

        command_line()
    except InputError as error:
        sys.exit(_say(error))
    except (ImportError, AttributeError) as error:
        if (shadow := loaded_shadow()) is None:
            raise
        sys.exit(
            _say(f"{shadow}, which PYTHONPATH puts first, stands in the way of what has its name ({error})")
        )


def _say(message: object) -> int:
    import sys

    sys.stderr.write(f"tausweep: {message}\n")
    return 2


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version("tausweep")
    from tausweep.orchestrator import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
