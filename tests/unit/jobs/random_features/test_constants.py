"""Constants of the random-features theory: against nested integrals, closed forms and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from tausweep.jobs.random_features.constants import feature_constants
from tausweep.storage.errors import SettingError


def normal(*x):
    return math.exp(-sum(value**2 for value in x) / 2) / (2 * math.pi) ** (len(x) / 2)


@pytest.mark.parametrize(("t", "variance"), [(0.01, 1.0), (0.7, 1.6)])
def test_they_are_the_integrals_that_define_them(t, variance):
    found = feature_constants("tanh", t, variance)
    signal, noise = math.exp(-t) * math.sqrt(variance), math.sqrt(1 - math.exp(-2 * t))
    scale = math.sqrt(signal**2 + noise**2)
    slope, _ = quad(lambda g: normal(g) / math.cosh(scale * g) ** 2, -10, 10, epsabs=1e-12)
    square, _ = quad(lambda g: normal(g) * math.tanh(scale * g) ** 2, -10, 10, epsabs=1e-12)
    b, _ = dblquad(
        lambda u, v: normal(u, v) * v * math.tanh(signal * u + noise * v), -9, 9, -9, 9, epsabs=1e-10
    )
    # Two arguments x, y of variance Γ² with the signal in common, as an integral over x + y and x − y.
    plus, minus = math.sqrt((scale**2 + signal**2) / 2), math.sqrt((scale**2 - signal**2) / 2)
    shared, _ = dblquad(
        lambda u, v: normal(u, v) * math.tanh(plus * u + minus * v) * math.tanh(plus * u - minus * v),
        -9, 9, -9, 9, epsabs=1e-10,
    )  # fmt: skip
    assert found.a == pytest.approx(slope, rel=1e-9)
    assert found.b == pytest.approx(b, rel=1e-8)
    assert found.v2 == pytest.approx(shared - slope**2 * signal**2, rel=1e-6)
    assert found.s2 == pytest.approx(square - shared - b**2, rel=1e-6)
    assert abs(found.mean) < 1e-12


@pytest.mark.parametrize("t", [1e-4, 0.1, 2.0])
def test_those_of_erf_are_known_in_closed_form(t):
    found = feature_constants("erf", t)
    shared = 2 / math.pi * math.asin(2 * math.exp(-2 * t) / 3)  # Williams 1997
    assert found.a == pytest.approx(2 / math.sqrt(3 * math.pi), rel=1e-12)
    assert found.v2 == pytest.approx(shared - found.a**2 * math.exp(-2 * t), abs=1e-12)
    assert found.s2 == pytest.approx(2 / math.pi * math.asin(2 / 3) - shared - found.b**2, abs=1e-12)


def test_all_of_the_features_variance_is_in_one_of_the_parts():
    found = feature_constants("tanh", 0.3, 0.8)
    g = np.random.default_rng(0).standard_normal(4_000_000)
    scale = math.sqrt(math.exp(-0.6) * 0.8 + 1 - math.exp(-0.6))
    measured = np.tanh(scale * g) ** 2
    parts = found.a**2 * math.exp(-0.6) * 0.8 + found.v2 + found.b**2 + found.s2
    assert parts == pytest.approx(measured.mean(), abs=5 * measured.std() / 2000)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [(("tanhh", 0.1), "activation"), (("tanh", 0.0), "t"), (("tanh", -1.0), "t"), (("tanh", 0.1, 0.0), "variance"),
     (("tanh", math.nan), "t")],
)  # fmt: skip
def test_what_has_no_constants_is_refused(arguments, field):
    with pytest.raises(SettingError) as caught:
        feature_constants(*arguments)
    assert caught.value.field == field
