"""Figures come out for full, partial and empty studies, and say what was not measured."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tausweep.orchestrator.analysis.runs.results import Estimate
from tausweep.orchestrator.figures.draw import draw
from tausweep.orchestrator.figures.law_plots import plot_tau_vs_n
from tausweep.orchestrator.figures.phase_plots import plot_phase_diagram
from tausweep.orchestrator.figures.study import Study
from tausweep.orchestrator.figures.style import STYLE
from tausweep.storage.tables.schemas import SAMPLES
from tests.unit.orchestrator.synthetic_study import empty, kept, resolved, study, training_images

NAMES = [
    "f_mem_vs_tau", "collapse", "widths", "losses", "tau_vs_n", "residuals", "phase_diagram", "samples",
]  # fmt: skip
ONE_WIDTH = {"widths": "one W only"}


def _draw(tables, folder, *, images=training_images, kind="png"):
    return draw(resolved(tables), kept(tables, images), folder, kind)


def _is_drawn(path):
    pixels = np.asarray(Image.open(path).convert("L"))
    return pixels.shape[0] > 200 and (pixels < 128).mean() > 0.005


def test_a_full_study_gives_every_figure(tmp_path):
    drawn = _draw(study(widths=(8, 16), seeds=(0, 1)), tmp_path)
    assert [path.name for path in drawn.paths] == [f"{name}.png" for name in NAMES]
    assert drawn.skipped == {}
    assert all(_is_drawn(path) for path in drawn.paths)


def test_a_study_without_frechet_or_training_images_is_drawn_all_the_same(tmp_path):
    drawn = _draw(study(frechet=False, seeds=(0,), n_values=(16, 32)), tmp_path, images=lambda run_id: None)
    assert drawn.skipped == ONE_WIDTH | {"residuals": "no law has more runs than coefficients"}
    assert all(_is_drawn(path) for path in drawn.paths)


def test_an_all_censored_study_is_drawn_without_fits(tmp_path):
    drawn = _draw(study(steps=150, seeds=(0,), n_values=(16, 32)), tmp_path)
    assert len(drawn.paths) == 6
    assert "residuals" in drawn.skipped


def test_one_run_with_one_evaluation_is_drawn_also_as_pdf(tmp_path):
    drawn = _draw(study(n_values=(16,), seeds=(0,), steps=30), tmp_path, kind="pdf")
    assert [path.read_bytes()[:4] for path in drawn.paths] == [b"%PDF"] * 6


def test_figures_with_nothing_to_show_are_named_with_the_reason(tmp_path):
    tables = study(n_values=(16,), seeds=(0,), steps=300)
    drawn = _draw(replace(tables, samples=tables.samples.slice(0, 0)), tmp_path)
    assert (
        drawn.skipped["samples"] == "no generated images were kept (gallery = 0), or no neighbours measured"
    )
    assert not (tmp_path / "samples.png").exists()


def test_an_empty_study_writes_nothing(tmp_path):
    drawn = _draw(empty(), tmp_path)
    assert drawn.paths == []
    assert drawn.skipped == dict.fromkeys(NAMES, "no run has a measurement yet")
    assert list(tmp_path.iterdir()) == []


def test_the_same_tables_give_the_same_file(tmp_path):
    tables = study(n_values=(16,), seeds=(0,), steps=300)
    first, again = (_draw(tables, tmp_path / part, kind="svg") for part in "ab")
    assert [path.read_bytes() for path in first.paths] == [path.read_bytes() for path in again.paths]


def test_colour_images_are_drawn(tmp_path):
    tables = study(n_values=(16,), seeds=(0,), steps=300)
    rows = [row | {"shape": [3, 8, 8], "image": [0.5] * 192} for row in tables.samples.to_pylist()]
    coloured = replace(tables, samples=pa.Table.from_pylist(rows, schema=SAMPLES))
    drawn = _draw(coloured, tmp_path, images=lambda run_id: np.full((16, 3, 8, 8), 0.2))
    assert (tmp_path / "samples.png") in drawn.paths


def test_the_boundary_and_the_slope_of_theory_are_in_the_phase_diagram():
    tables = study(widths=(8, 16), seeds=(0, 1), steps=3000)
    shown = resolved(tables, draws=1)
    for theory in (False, True):
        (legend,) = plot_phase_diagram(shown, theory=theory).legends
        assert any("random features" in text.get_text() for text in legend.get_texts()) == theory


@pytest.mark.parametrize(("n_star", "shown"), [(200.0, True), (5000.0, False)])
def test_a_line_in_the_legend_is_in_the_phase_diagram(n_star, shown):
    fitted = resolved(study(seeds=(0, 1)), draws=1)
    (line,) = fitted.result.lines
    line = line.model_copy(update={"n_star": Estimate(estimate=n_star, low=130.0, high=9000.0)})
    result = fitted.result.model_copy(update={"lines": [line]})
    figure = plot_phase_diagram(Study(result=result, measured=fitted.measured))
    (axes,) = figure.axes
    (legend,) = figure.legends
    assert any("not converged at" in text.get_text() for text in legend.get_texts()) == shown
    assert (axes.get_xlim()[1] > n_star) == shown


def test_the_words_of_each_law_lie_within_the_figure():
    names = ("adam", "an_optimizer_with_a_name", "another_optimizer_with_a_name")
    tables = study(seeds=(0, 1), optimizers=names, steps=1500)
    with mpl.rc_context(STYLE):
        figure = plot_tau_vs_n(resolved(tables, draws=1))
        figure.draw_without_rendering()
    frames = [axes.get_legend().get_window_extent() for axes in figure.axes]
    assert all(frame.x0 >= 0 and frame.x1 <= figure.bbox.width for frame in frames)
    assert all(axes.bbox.width > figure.bbox.width / 5 for axes in figure.axes), "panels keep their width"
