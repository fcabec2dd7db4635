"""The figure of spectra: histograms of measured eigenvalues, and the densities that a theory gives for them.

Called through `orchestrator.api`: a store holds no eigenvalues, so whoever has some (of a kernel, of the random-features
matrix U of Bonnaire et al., arXiv:2505.17638) brings them. Computes no theory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast, get_args

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from tausweep.orchestrator.figures.palette import COLOURS
from tausweep.orchestrator.figures.style import STYLE, UNDATED, Format
from tausweep.storage.errors import InputError, nearest
from tausweep.storage.files.atomic import publish

Density = Callable[[NDArray[np.float64]], ArrayLike]
_BINS, _POINTS, _COLUMNS = 80, 1500, 2
_SPREAD, _ROOM = (
    0.4,
    1.35,
)  # of ln λ that a delta mass fills at finite size; height of the axis over the other bars
_ZERO = 1e-12  # of the largest eigenvalue: smaller ones are 0 but for rounding, and have no logarithm


def draw_spectrum(
    path: Path,
    spectra: Mapping[str, ArrayLike],
    densities: Mapping[str, Density] | None = None,
    deltas: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Draw eigenvalues over ln λ, a panel per spectrum: a fraction of them per unit of ln λ, λρ(λ).

    Eigenvalues of 0 have no place on the axis; their share is written into the panel.

    Args:
        path: of the figure; ends in .png, .pdf or .svg.
        spectra: title → eigenvalues, (p,), at least 0, in any order.
        densities: title → ρ, the density of all eigenvalues at λ > 0, (M,) → (M,); masses at points left out.
        deltas: title → λ > 0 and the mass there; the axis then ends above the rest, not above the bars of that mass.

    Raises:
        InputError: the name ends in something else, an eigenvalue is negative or not finite, there is nothing positive
            to show, or a density or delta mass has no spectrum of its title.
    """
    form = path.suffix.removeprefix(".")
    if form not in get_args(Format):
        raise InputError(f"{path}: {nearest(form, get_args(Format))}")
    densities, deltas = densities or {}, deltas or {}
    for what, by_title in (("densities", densities), ("deltas", deltas)):
        if unknown := sorted(set(by_title) - set(spectra)):
            raise InputError(f"{what}: {unknown[0]!r} has no spectrum; {nearest(unknown[0], spectra)}")
    checked = {title: _checked(title, values) for title, values in spectra.items()}
    if not checked:
        raise InputError("spectra: at least one is needed")
    columns = min(_COLUMNS, len(checked))
    rows = -(-len(checked) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * columns, 2.4 * rows))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (title, values) in zip(panels, checked.items(), strict=False):
            _panel(axes, title, values, densities.get(title), deltas.get(title))
        for axes in panels[len(checked) :]:
            axes.remove()
        save = partial(figure.savefig, format=form, metadata=UNDATED[cast("Format", form)])
        publish(path, save)


def _checked(title: str, values: ArrayLike) -> NDArray[np.float64]:
    eigenvalues = np.asarray(values, dtype=np.float64)
    if eigenvalues.ndim != 1 or not np.isfinite(eigenvalues).all():
        raise InputError(f"spectrum {title!r}: finite eigenvalues in one dimension are needed")
    largest = float(eigenvalues.max(initial=0.0))
    if largest <= 0:
        raise InputError(f"spectrum {title!r}: no eigenvalue is above 0")
    if (smallest := float(eigenvalues.min())) < -_ZERO * largest:
        raise InputError(f"spectrum {title!r}: an eigenvalue is {smallest:.3g}; at least 0 is needed")
    return eigenvalues


def _panel(
    axes: Axes,
    title: str,
    eigenvalues: NDArray[np.float64],
    density: Density | None,
    delta: tuple[float, float] | None,
) -> None:
    positive = eigenvalues[eigenvalues > _ZERO * eigenvalues.max()]
    edges = np.geomspace(positive.min() / 1.2, positive.max() * 1.2, _BINS + 1)
    weights = np.full(len(positive), 1 / (len(eigenvalues) * np.log(edges[1] / edges[0])))
    heights, _, _ = axes.hist(
        positive, edges.tolist(), weights=weights, color="0.8", label=f"{len(eigenvalues):,} eigenvalues"
    )
    axes.set(xscale="log", xlabel=r"$\lambda$", ylabel=r"$\lambda \rho(\lambda)$")
    axes.set_title(title)
    if density is not None:
        at = np.geomspace(edges[0], edges[-1], _POINTS)
        axes.plot(at, at * np.asarray(density(at)), color=COLOURS[0], linewidth=1.2, label="theory")
    if delta is not None:
        place, mass = delta
        words = f"theory: {mass:.0%} at {place:.3g}".replace("%", " %")
        axes.axvline(place, color=COLOURS[1], linewidth=0.8, linestyle="--", label=words)
        away = np.abs(np.log(np.sqrt(edges[1:] * edges[:-1]) / place)) > _SPREAD
        if np.asarray(heights)[away].max(initial=0.0) > 0:
            axes.set_ylim(0, _ROOM * float(np.asarray(heights)[away].max()))
    if len(positive) < len(eigenvalues):
        share = 1 - len(positive) / len(eigenvalues)
        axes.plot([], [], linestyle="", label=f"{share:.0%} at 0".replace("%", " %"))
    axes.legend(loc="upper right")
