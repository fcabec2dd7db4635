"""A spectrum is drawn with the mass it has, beside the density it should have."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from tausweep.orchestrator.api import draw_spectrum
from tausweep.storage.errors import InputError

RATIO = 0.5
"""p/n of the Wishart matrices."""


def wishart(p, n, seed=0):
    X = np.random.default_rng(seed).normal(size=(p, n))
    return np.linalg.eigvalsh(X @ X.T / n)


def marchenko_pastur(x):
    low, high = (1 - RATIO**0.5) ** 2, (1 + RATIO**0.5) ** 2
    return np.sqrt(np.maximum((high - x) * (x - low), 0)) / (2 * np.pi * RATIO * x)


@pytest.fixture
def panels(monkeypatch):
    """The panels of figures that are saved."""
    found = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *a, **k: (found.extend(figure.axes), save(figure, *a, **k))
    )
    return found


def test_the_histogram_is_the_density_of_marchenko_and_pastur(tmp_path, panels):
    draw_spectrum(tmp_path / "s.png", {"Wishart": wishart(600, 1200)}, {"Wishart": marchenko_pastur})
    (axes,) = panels
    at, theory = axes.lines[0].get_data()
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches]
    middle = [(x, height) for x, height in bars if 0.2 < x < 2.5]
    expected = np.interp([x for x, _ in middle], at, theory)
    assert np.mean(np.abs([height for _, height in middle] - expected)) < 0.08
    widths = np.log([(bar.get_x() + bar.get_width()) / bar.get_x() for bar in axes.patches])
    assert sum(w * bar.get_height() for w, bar in zip(widths, axes.patches, strict=True)) == pytest.approx(1)
    assert (tmp_path / "s.png").stat().st_size > 5000


def test_eigenvalues_of_zero_are_a_share_and_not_in_the_histogram(tmp_path, panels):
    draw_spectrum(tmp_path / "s.svg", {"rank 300 of 400": wishart(400, 300), "full": wishart(40, 300)})
    words = [text.get_text() for axes in panels for text in axes.get_legend().get_texts()]
    assert "25 % at 0" in words
    assert not any("at 0" in text.get_text() for text in panels[1].get_legend().get_texts())


def test_a_delta_mass_is_a_line_and_does_not_set_the_height(tmp_path, panels):
    values = np.concatenate([np.full(300, 0.1), wishart(100, 300)])
    draw_spectrum(tmp_path / "s.png", {"a": values}, deltas={"a": (0.1, 0.75)})
    (axes,) = panels
    assert "theory: 75 % at 0.1" in [text.get_text() for text in axes.get_legend().get_texts()]
    tallest = sorted(bar.get_height() for bar in axes.patches)
    assert tallest[-2] < axes.get_ylim()[1] < tallest[-1] / 4
    with pytest.raises(InputError, match="deltas: 'b' has no spectrum"):
        draw_spectrum(tmp_path / "t.png", {"a": values}, deltas={"b": (0.1, 0.75)})


@pytest.mark.parametrize(
    ("name", "spectra", "densities", "words"),
    [
        ("s.jpg", {"a": [1.0]}, {}, "Allowed: pdf, png, svg"),
        ("s.png", {}, {}, "at least one"),
        ("s.png", {"a": [0.0]}, {}, "no eigenvalue is above 0"),
        ("s.png", {"a": [1.0, -0.5]}, {}, "-0.5; at least 0"),
        ("s.png", {"a": [1.0, np.nan]}, {}, "finite eigenvalues"),
        ("s.png", {"tanh": [1.0]}, {"tan": np.sqrt}, "did you mean 'tanh'"),
    ],
)
def test_what_is_wrong_is_one_error_and_no_file(tmp_path, name, spectra, densities, words):
    with pytest.raises(InputError, match=words):
        draw_spectrum(tmp_path / name, spectra, densities)
    assert not (tmp_path / name).exists()
