"""The report: a sweep's results as one HTML file that opens anywhere, without a network.

Called by the command line. Plotly's script, styles, data and images are inside the file, and its content-security policy
lets nothing else be loaded. Text of users and of errors is escaped by the template engine.
"""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tausweep.orchestrator.analysis.criteria.criterion import written
from tausweep.orchestrator.analysis.runs.grouping import width_axis
from tausweep.orchestrator.figures.gallery import Card, KeptImages, choose_strips
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.report import tables
from tausweep.orchestrator.report.plot_data import label, payload
from tausweep.orchestrator.report.sentences import as_html

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from tausweep.orchestrator.analysis.runs.results import FitResult
    from tausweep.orchestrator.stores.failures import FailureGroup


_SHOWN_CONDITIONS = 4  # in the gallery


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What a report is made of.

    Attributes:
        study: results and curves of the sweep.
        runs: one row per run, those without a measurement included.
        images: of its runs.
        attempts: every execution of its runs.
        failures: grouped.
        commands: the words of commands that make all of it again.
        source: text of the sweep file; empty if it is not at hand.
        date: of the report, in words.
    """

    study: Study
    runs: pa.Table
    images: KeptImages
    attempts: pa.Table
    failures: Sequence[FailureGroup]
    commands: Sequence[Sequence[str]]
    source: str
    date: str


def render(material: Material) -> str:
    """The report as HTML."""
    from jinja2 import Environment, PackageLoader
    from plotly.offline import get_plotlyjs

    loader = PackageLoader("tausweep.orchestrator.report", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True)
    macros: Any = environment.get_template("table.html").module
    texts = {name: loader.get_source(environment, f"report.{name}")[0] for name in ("css", "js")}
    page = environment.get_template("report.html")
    return page.render(
        **_content(material),
        table=macros.table,
        fold=macros.fold,
        style=texts["css"],
        script=texts["js"],
        plotly=get_plotlyjs(),
        version=version("tausweep"),
    )


def _content(material: Material) -> dict[str, Any]:
    study = material.study
    result = study.result
    tau_mem, tau_gen = (_main(result, quantity) for quantity in ("tau_mem", "tau_gen"))
    columns, rows = tables.run_rows(study, material.runs, tau_mem)
    gallery = _gallery(study, material.images)
    return {
        "sweep": result.sweep,
        "data": ", ".join(sorted({str(run.settings["data"]) for run in study.runs})) or "no data yet",
        "made": material.date,
        "facts": _facts(material),
        "has_runs": bool(study.runs),
        "has_phases": bool(result.budgets and tau_mem),
        "headline": tables.headline(study, tau_mem, tau_gen),
        "conclusions": [as_html(sentence) for sentence in result.conclusions],
        "notes": result.notes,
        "main_criterion": tau_mem,
        "k": written(result.k),
        "lines": tables.lines(study),
        "fits": tables.fits(study),
        "laws": tables.laws(study),
        "competitions": tables.competitions(study),
        "collapses": tables.collapses(study),
        "medians": tables.medians(study),
        "classes": tables.classes(study),
        "strips": gallery if isinstance(gallery, list) else [],
        "no_gallery": gallery if isinstance(gallery, str) else "",
        "run_columns": columns,
        "failures": material.failures,
        "provenance": tables.provenance(material.attempts),
        "settings": tables.settings(material.runs),
        "commands": "\n".join(shlex.join(words) for words in material.commands),
        "source": material.source,
        "payload": {**payload(study, tau_mem, tau_gen), "table": rows},
    }


def _main(result: FitResult, quantity: str) -> str:
    """The first criterion of a timescale that any run measured."""
    measured = {fit.criterion for fit in result.fits if fit.quantity == quantity}
    return next((name for name in result.criteria if name in measured), "")


def _facts(material: Material) -> list[tuple[str, str]]:
    study = material.study
    states = material.runs["state"].to_pylist()
    seconds = [value for value in material.attempts["seconds"].to_pylist() if value is not None]
    facts = [("runs", str(len(states)))]
    facts += [(state, str(states.count(state))) for state in sorted(set(states))]
    if study.runs:
        facts.append(("n", ", ".join(map(str, study.n_values))))
        widths = sorted({run.W for run in study.result.runs})
        facts.append((width_axis(study.result.runs), ", ".join(f"{W:,}" for W in widths)))
        facts.append(("conditions", "; ".join(tables.groups_of(study))))
        facts.append(("largest τ", f"{max(run.budget for run in study.result.runs):,}"))
    if seconds:
        facts.append(("process hours", f"{sum(seconds) / 3600:,.2g}"))
    smoothing = ", isotonic" if study.result.smoothing == "isotonic" else ""
    return [*facts, ("gap-ratio threshold k", written(study.result.k) + smoothing)]


def _gallery(study: Study, kept: KeptImages) -> list[dict[str, Any]] | str:
    strips = choose_strips(study, kept, most=_SHOWN_CONDITIONS)
    if isinstance(strips, str):
        return strips
    # The widest networks first: their samples are what training leads to.
    strips = sorted(strips, key=lambda strip: -strip.condition.W)
    return [
        {
            "title": f"{label(study, strip.condition)}, n = {strip.n}, τ = {strip.tau:,}, seed {strip.seed}",
            "cards": [
                {"images": _images(card), "ratio": card.ratio, "memorised": card.memorised}
                for card in strip.cards
            ],
        }
        for strip in strips
    ]


def _images(card: Card) -> list[dict[str, str]]:
    names = ("generated", "nearest training image", "second nearest training image")
    pairs = zip(names, (card.generated, *card.nearest), strict=False)
    return [{"alt": name, "src": f"data:image/png;base64,{_png(image)}"} for name, image in pairs]


def _png(image: np.ndarray) -> str:
    """A CHW image in 0…1 as PNG in base64."""
    from PIL import Image

    pixels = (image.clip(0, 1) * 255).round().astype("uint8").transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
