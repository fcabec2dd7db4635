"""Predicted timescales: against those of a drawn spectrum, and how they go with n and p."""

from __future__ import annotations

import numpy as np
import pytest

from tausweep.jobs.data.elliptical import spectrum
from tausweep.jobs.random_features.closed_form import spectral_timescales
from tausweep.jobs.random_features.constants import feature_constants
from tausweep.jobs.random_features.moments import train_moments
from tausweep.jobs.random_features.spectrum import feature_spectrum
from tausweep.jobs.random_features.timescales import paper_rate, predicted_timescales


def predicted(psi_p, psi_n, t=0.01, kind="identity", d=300):
    variances = spectrum(kind, d)
    made = feature_spectrum(psi_p, psi_n, feature_constants("tanh", t), variances)
    return predicted_timescales(made, paper_rate(t, psi_p))


def test_they_are_those_of_a_drawn_spectrum():
    d, p, n, t = 300, 900, 600, 0.01
    rng = np.random.default_rng(3)
    W, X = rng.standard_normal((p, d)), rng.standard_normal((n, d))
    eigenvalues = np.linalg.eigvalsh(train_moments(W, X, t, "tanh").U)
    measured = spectral_timescales(eigenvalues, paper_rate(t, p / d), n=n, d=d)
    theory = predicted(p / d, n / d)
    assert theory.tau_gen == pytest.approx(measured.tau_gen, rel=0.03)
    assert theory.tau_mem == pytest.approx(measured.tau_mem, rel=0.03)
    # One eigenvalue at an edge, not the mean of hundreds.
    assert theory.tau_gen_slowest == pytest.approx(measured.tau_gen_slowest, rel=0.2)
    assert theory.tau_mem_fastest == pytest.approx(measured.tau_mem_fastest, rel=0.2)


def exponent(name, psi_p, sizes, t=0.01):
    values = [getattr(predicted(psi_p, psi_n, t), name) for psi_n in sizes]
    return np.polyfit(np.log(sizes), np.log(values), 1)[0]


def test_memorisation_takes_a_time_proportional_to_n_in_regime_one():
    assert exponent("tau_mem", 4096, [32, 64, 128]) == pytest.approx(1, abs=0.05)
    assert exponent("tau_gen", 4096, [32, 64, 128]) == pytest.approx(0, abs=0.02)
    # n − d of the n eigenvalues of bulk 1 are of order p/n and d are near s², so the mean over all gives n²/(n − d).
    few = np.array([4, 16])
    expected = np.diff(np.log(few**2 / (few - 1)))[0] / np.log(4)
    assert exponent("tau_mem_with_sub_bulk", 256, few) == pytest.approx(expected, abs=0.02)
    assert exponent("tau_mem", 256, few) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("psi_n", "tau_mem"), [(2, 2005), (4, 3998), (8, 7959), (16, 15_771), (32, 30_974)])
def test_tau_mem_is_that_of_the_main_bulk_alone(psi_n, tau_mem):
    assert predicted(64, psi_n).tau_mem == pytest.approx(tau_mem, rel=1e-3)


def test_the_slowest_direction_is_the_main_bulks_lower_edge():
    assert predicted(64, 2).tau_mem_slowest == pytest.approx(2622, rel=2e-3)
    assert predicted(64, 2).tau_mem_with_sub_bulk == pytest.approx(3872, rel=1e-3)


def test_memorisation_time_saturates_in_regime_two():
    assert exponent("tau_mem", 4, [40, 80, 160]) == pytest.approx(0, abs=0.02)


def test_neither_time_depends_on_p_when_there_are_many_features():
    wide, wider = predicted(64, 4), predicted(256, 4)
    assert wide.tau_gen == pytest.approx(wider.tau_gen, rel=0.02)
    assert wide.tau_mem == pytest.approx(wider.tau_mem, rel=0.05)


def test_there_are_none_where_nothing_can_be_told_apart():
    assert predicted(0.5, 4) is None  # p < d: no bulk 1
    assert predicted(4.0, 2.0, t=0.01, kind="power_law") is None  # no gap
