"""One style for all figures: colours, marks, names of axes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

Format = Literal["png", "pdf", "svg"]


STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "legend.fontsize": 7,
    "legend.title_fontsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 250,
    "pdf.fonttype": 42,
    "svg.hashsalt": "tausweep",
}
"""One style for all figures; readable at the width of a column."""


UNDATED: dict[Format, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


TAU, F_MEM = r"$\tau$ (optimiser updates)", r"$f_\mathrm{mem}$"


def plain_log(axis: Axis, decades: float = 0) -> None:
    """Ticks as plain numbers, 1-2-5 where two decades or less are shown; at least `decades` are."""
    low, high = np.log10(axis.get_view_interval())
    missing = max(0.0, decades - (high - low)) / 2  # a noisy constant must not look like a trend
    axis.set_view_interval(10 ** (low - missing), 10 ** (high + missing), ignore=True)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low <= 2 else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())
