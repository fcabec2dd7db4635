"""The spectrum of U in theory: masses by ranks, laws in closed form, and drawn spectra at d = 300."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from tausweep.jobs.data.elliptical import spectrum
from tausweep.jobs.random_features.constants import feature_constants
from tausweep.jobs.random_features.moments import train_moments
from tausweep.jobs.random_features.spectrum import FeatureSpectrum, feature_spectrum
from tausweep.jobs.random_features.stieltjes import Ensemble
from tausweep.storage.errors import SettingError, TheoryError

D = 300


@cache
def theory(kind, psi_p, psi_n, t):
    variances = spectrum(kind, D)
    return feature_spectrum(psi_p, psi_n, feature_constants("tanh", t, float(variances.mean())), variances)


@cache
def drawn(kind, psi_p, psi_n, t):
    """Eigenvalues of U and of its Gaussian equivalent, each (p,) ascending."""
    p, n = round(psi_p * D), round(psi_n * D)
    rng = np.random.default_rng([p, n])
    variances = spectrum(kind, D)
    W, X = rng.standard_normal((p, D)), rng.standard_normal((n, D)) * np.sqrt(variances)
    found = feature_constants("tanh", t, float(variances.mean()))
    G = math.exp(-t) * found.a * W @ X.T / math.sqrt(D) + math.sqrt(found.v2) * rng.standard_normal((p, n))
    equivalent = G @ G.T / n + found.b**2 * W @ W.T / D + found.s2 * np.eye(p)
    return np.linalg.eigvalsh(train_moments(W, X, t, "tanh").U), np.linalg.eigvalsh(equivalent)


def farthest(made, eigenvalues, count):
    """Kolmogorov's distance of the `count` largest eigenvalues' distribution from the theory's."""
    p = len(eigenvalues)
    ranks = np.arange(p - count, p)
    return abs(made.cdf(eigenvalues[p - count :]) - (ranks + 0.5) / p).max()


POINTS = [
    ("identity", 3.0, 1.0, 0.01),
    ("two_point", 3.0, 1.0, 0.1),
    ("power_law", 3.0, 1.0, 0.01),
    ("identity", 2.0, 6.0, 0.01),
]
cases = pytest.mark.parametrize("case", POINTS, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")


@cases
def test_the_density_is_that_of_the_gaussian_equivalent(case):
    made, (_, equivalent) = theory(*case), drawn(*case)
    rest = equivalent[equivalent > made.ensemble.s2 * (1 + 1e-6)]
    assert len(equivalent) - len(rest) == round(made.delta_mass * len(equivalent))  # the delta mass, to one
    assert farthest(made, equivalent, len(rest)) < 0.006


@cases
def test_the_density_is_that_of_u(case):
    made, (measured, _) = theory(*case), drawn(*case)
    # At finite d the delta mass is spread over some tenths of s², and covers what lies there of bulk 1.
    rest = measured[: round(made.delta_mass * len(measured))]
    assert np.allclose(rest, made.ensemble.s2, rtol=0.3)
    above = int((measured > 1.3 * made.ensemble.s2).sum())
    # The effective dimension (tr Σ)²/tr Σ² of the power law is 24: its features are far from Gaussian.
    assert farthest(made, measured, above) < (0.03 if case[0] == "power_law" else 0.015)


@pytest.mark.parametrize("case", [POINTS[0], POINTS[1], POINTS[3]], ids=lambda case: f"{case[0]}-{case[1]}")
def test_parts_lie_where_those_of_u_are(case):
    made, (measured, _) = theory(*case), drawn(*case)
    end = 0
    for part in made.parts:
        begin, end = end, end + round(part.mass * len(measured))
        if part.name == "delta":
            continue
        own = measured[begin:end]
        assert own.mean() == pytest.approx(part.mean, rel=0.03)
        assert own[0] > part.intervals[0].low * 0.9
        assert own[-1] < part.intervals[-1].high * 1.1
        assert own[-1] > part.intervals[-1].high * 0.8
    assert end == len(measured)


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "expected"),
    [
        (16, 4, {"delta": 11 / 16, "bulk 1": 4 / 16, "bulk 2": 1 / 16}),  # I: p > n + d
        (
            64,
            0.5,
            {"delta": 62.5 / 64, "bulk 1": 0.5 / 64, "bulk 2": 1 / 64},
        ),  # I: fewer samples than dimensions
        (5, 4.5, {"bulk 1": 4 / 5, "bulk 2": 1 / 5}),  # I: n < p < n + d
        (4, 40, {"bulk 1": 3 / 4, "bulk 2": 1 / 4}),  # II
        (0.5, 3, {"bulk 2": 1.0}),  # p < d
    ],
)
@pytest.mark.parametrize("kind", ["identity", "two_point"])
def test_masses_are_those_of_the_ranks(kind, psi_p, psi_n, expected):
    made = theory(kind, psi_p, psi_n, 0.01)
    assert {part.name: part.mass for part in made.parts} == pytest.approx(expected, abs=1e-4)
    assert made.regime == ("I" if psi_n < psi_p else "II")


def test_every_interval_of_bulk_1_has_its_own_rank():
    bulk = theory("identity", 64, 8, 0.01).part("bulk 1")
    # n − d directions see the noise of the samples alone; d are what W leaves of the data's directions.
    assert [found.mass * 64 for found in bulk.intervals] == pytest.approx([1, 7], abs=1e-5)


def test_a_power_laws_largest_eigenvalues_stand_apart():
    made = theory("power_law", 16.0, 4.0, 0.01)
    bulk = made.part("bulk 2")
    assert bulk.mass == pytest.approx(1 / 16, abs=1e-5)
    for top in bulk.intervals[-4:]:
        assert top.mass * 16 * D == pytest.approx(1, abs=1e-3)  # one eigenvalue each


def test_parts_without_a_gap_between_them_are_one():
    (part,) = (part for part in theory("power_law", 4.0, 2.0, 0.01).parts if part.name != "delta")
    assert part.name == "bulks 1 and 2"
    assert part.mass == pytest.approx(3 / 4, abs=1e-4)


def test_the_mean_is_the_trace():
    made = theory("two_point", 8.0, 4.0, 0.1)
    e = made.ensemble
    # E tr U/p = b² + c² m + v² + s².
    trace = e.b2 + e.c2 * e.sigma @ e.weights + e.v2 + e.s2
    assert sum(part.mass * part.mean for part in made.parts) == pytest.approx(trace, rel=1e-6)


def test_marchenko_and_pasturs_law_has_its_edges_and_its_mass():
    one = np.ones(1)
    made = FeatureSpectrum(
        Ensemble(psi_p=4.0, psi_n=1.0, b2=0.0, c2=0.0, v2=0.5, s2=0.1, sigma=one, weights=one)
    )
    delta, bulk = made.parts
    assert (delta.mass, bulk.mass) == pytest.approx((0.75, 0.25), abs=1e-7)
    (interval,) = bulk.intervals
    assert (interval.low, interval.high) == pytest.approx((0.1 + 0.5, 0.1 + 0.5 * 9), rel=1e-5)
    assert bulk.mean == pytest.approx(0.1 + 0.5 * 4, rel=1e-6)
    x = np.array([2.0, 0.05, 0.1, 9.0, 1.0, 0.5])  # in any order, also outside
    y = np.maximum(x - 0.1, 1e-9)
    law = np.sqrt(np.maximum((y - 0.5) * (4.5 - y), 0)) / (2 * math.pi * 4 * 0.5 * y)
    np.testing.assert_allclose(made.density(x), law, atol=1e-7)
    assert made.cdf([0.05, 0.1, 0.5, 5.0]) == pytest.approx([0.0, 0.75, 0.75, 1.0])


def test_a_total_that_is_not_1_is_refused(monkeypatch):
    made = theory("identity", 16.0, 4.0, 0.05)
    low, high = made._edges
    broken = FeatureSpectrum(made.ensemble)
    monkeypatch.setitem(broken.__dict__, "_edges", (low[:-1], high[:-1]))  # bulk 2 overlooked
    with pytest.raises(TheoryError, match=r"add up to 0\.9375"):
        _ = broken.parts


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "variances", "field"),
    [(0, 1, [1.0], "psi_p"), (1, -2, [1.0], "psi_n"), (math.nan, 1, [1.0], "psi_p"), (1, 1, [-1.0, 3.0], "variances"),
     (1, 1, [2.0], "variances"), (1, 1, [], "variances")],
)  # fmt: skip
def test_what_has_no_spectrum_is_refused(psi_p, psi_n, variances, field):
    with pytest.raises(SettingError) as caught:
        feature_spectrum(psi_p, psi_n, feature_constants("tanh", 0.1), variances)
    assert caught.value.field == field
