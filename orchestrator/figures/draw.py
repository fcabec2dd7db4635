"""The figures of a sweep, drawn from a FitResult and the curves it came from.

Called by the command line and the report. Shows what was measured and says what was not; computes no fit of its own
and keeps no state in matplotlib (Figure objects, no pyplot).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from tausweep.orchestrator.figures.class_plots import plot_class_frequency, plot_classes
from tausweep.orchestrator.figures.curve_plots import plot_curves, plot_losses, plot_widths
from tausweep.orchestrator.figures.gallery import KeptImages, draw_gallery
from tausweep.orchestrator.figures.law_plots import plot_residuals, plot_tau_vs_n
from tausweep.orchestrator.figures.phase_plots import plot_phase_diagram
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.figures.style import STYLE, UNDATED, Format
from tausweep.storage.files.atomic import publish


class Drawn(NamedTuple):
    """Files that were written, and name → reason for the figures that were not."""

    paths: list[Path]
    skipped: dict[str, str]


def draw(
    study: Study,
    kept: KeptImages,
    folder: Path,
    format: Format,  # noqa: A002 - the command line's word
    *,
    theory: bool = False,
) -> Drawn:
    """Write `f_mem_vs_tau`, `collapse`, `widths`, `losses`, `tau_vs_n`, `residuals`, `phase_diagram`, `samples`.

    Where f_mem was measured by class also `classes` and `class_frequency`.

    Args:
        study: what is drawn.
        kept: images of its runs.
        folder: made if missing.
        format: of the files.
        theory: whether the phase diagram shows the slope of the random-features model.
    """
    figures: dict[str, Callable[[], Figure | str]] = {
        "f_mem_vs_tau": lambda: plot_curves(study, "tau"),
        "collapse": lambda: plot_curves(study, "tau/n"),
        "widths": lambda: plot_widths(study),
        "losses": lambda: plot_losses(study),
        "tau_vs_n": lambda: plot_tau_vs_n(study),
        "residuals": lambda: plot_residuals(study),
        "phase_diagram": lambda: plot_phase_diagram(study, theory=theory),
        "samples": lambda: draw_gallery(study, kept),
    }
    if study.result.by_class:
        figures |= {
            "classes": lambda: plot_classes(study),
            "class_frequency": lambda: plot_class_frequency(study),
        }
    drawn = Drawn([], {})
    with mpl.rc_context(STYLE):
        for name, make in figures.items():
            figure = make() if study.runs else "no run has a measurement yet"
            if isinstance(figure, str):
                drawn.skipped[name] = figure
                continue
            path = folder / f"{name}.{format}"
            # Without a date in it the same tables give the same file.
            publish(path, partial(figure.savefig, format=format, metadata=UNDATED[format]))
            drawn.paths.append(path)
    return drawn
