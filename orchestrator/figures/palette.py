"""Colours and marks that mean something, the same in print and in the report.

Read by the plots and, as JSON, by the report's script. The colours are those of Okabe & Ito, which stay apart for the
colour-blind; what has a colour has a mark or a dash of its own too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex

INK = "#000000"
"""Of what belongs to no state; on a dark ground it is the colour of the text."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":")


class Mark(NamedTuple):
    """How something looks: words of the legend, colour, and marker as matplotlib names it."""

    words: str
    colour: str
    marker: str


STATES: dict[str | None, Mark] = {
    "memorises": Mark("memorises", "#D55E00", "o"),
    "generalises": Mark("generalises", "#0072B2", "s"),
    "not yet good": Mark("not yet good", "#999999", "v"),
    None: Mark("not measured", INK, "x"),
}
"""Of a point in the phase diagram."""
BOUNDARY = Mark("n*(p; τ)", INK, "D")
CONVERGED_LINE = Mark("architectural line", "#009E73", "P")
OPEN_LINE = Mark("architectural line, not converged", "#009E73", "X")

_PLOTLY = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross",
           "X": "x", "x": "x-thin-open"}  # fmt: skip
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_ON_DARK = ("#c792ea", "#9a9cf0", "#5fb0e6", "#3fd0b0", "#7fdc6a", "#eee05a")  # viridis, lighter


def size_colours(count: int, *, dark: bool = False) -> list[str]:
    """A colour for each of so many n, ascending, as hex: viridis, or a lighter row for a dark ground."""
    light: Colormap = mpl.colormaps["viridis"]
    row, end = (LinearSegmentedColormap.from_list("", _ON_DARK), 1.0) if dark else (light, 0.9)
    # The brightest yellow of viridis is lost on white.
    return [to_hex(row(end * place)) for place in np.arange(count) / max(1, count - 1)]


def as_json(sizes: int) -> dict[str, Any]:
    """All of it as Plotly names it, for the report's script.

    Args:
        sizes: number of n.
    """
    return {
        "ink": INK,
        "states": {state or "not measured": _json(mark) for state, mark in STATES.items()},
        "boundary": _json(BOUNDARY),
        "line": {"converged": _json(CONVERGED_LINE), "open": _json(OPEN_LINE)},
        "conditions": {
            "colours": COLOURS,
            "symbols": [_PLOTLY[marker] for marker in MARKERS],
            "dashes": [_DASHES[line] for line in LINES],
        },
        "n": {"light": size_colours(sizes), "dark": size_colours(sizes, dark=True)},
    }


def _json(mark: Mark) -> dict[str, str]:
    return {"words": mark.words, "colour": mark.colour, "symbol": _PLOTLY[mark.marker]}
