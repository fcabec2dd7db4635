"""The theory of the random-features spectrum beside drawn spectra, as a document and as a figure.

Called by `tausweep spectrum`. Computes no theory of its own: puts together what `jobs` computes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tausweep.jobs.arrays import Floats
from tausweep.jobs.data.elliptical import Covariance, spectrum
from tausweep.jobs.random_features.constants import FeatureConstants, feature_constants
from tausweep.jobs.random_features.drawn_spectra import drawn_spectra
from tausweep.jobs.random_features.spectrum import FeatureSpectrum, feature_spectrum
from tausweep.jobs.random_features.timescales import paper_rate, predicted_timescales
from tausweep.jobs.spec.model import features
from tausweep.orchestrator.figures.spectrum_plots import draw_spectrum
from tausweep.storage.errors import SettingError, nearest

LARGEST = 6000
"""Features of a spectrum that is drawn: three matrices p × p must fit into memory."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The random-features model at one diffusion time.

    Attributes:
        psi_p: p/d.
        psi_n: n/d.
        t: diffusion time.
        d: dimension of the data.
        covariance: kind of the spectrum of Σ, see `jobs.data.elliptical.spectrum`, also for the three that follow.
        low: smaller variance of two_point.
        high: larger variance of two_point.
        exponent: of power_law.
        activation: name of σ.
    """

    psi_p: float
    psi_n: float
    t: float
    d: int
    covariance: str
    low: float
    high: float
    exponent: float
    activation: str

    def __post_init__(self) -> None:
        for name in ("psi_p", "psi_n", "t", "d", "low", "high"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise SettingError(name, value, "a number above 0 is needed")
        if not math.isfinite(self.exponent):
            raise SettingError("exponent", self.exponent, "a finite number is needed")
        if self.covariance not in get_args(Covariance):
            raise SettingError("covariance", self.covariance, nearest(self.covariance, get_args(Covariance)))
        self.sizes()

    def sizes(self) -> tuple[int, int]:
        """Features and training samples, p and n.

        Raises:
            SettingError: psi_p·d or psi_n·d is not a whole number.
        """
        n = round(self.psi_n * self.d)
        if n < 1 or not math.isclose(n, self.psi_n * self.d, rel_tol=1e-9):
            problem = f"n = psi_n·d must be a whole number, with d = {self.d} it is {self.psi_n * self.d:g}"
            raise SettingError("psi_n", self.psi_n, problem)
        return features(self.psi_p, self.d), n

    @cached_property
    def variances(self) -> Floats:
        """(d,) eigenvalues of Σ."""
        kind: Any = self.covariance
        return spectrum(kind, self.d, low=self.low, high=self.high, exponent=self.exponent)

    @cached_property
    def constants(self) -> FeatureConstants:
        """Of the activation."""
        return feature_constants(self.activation, self.t, float(self.variances.mean()))

    @cached_property
    def theory(self) -> FeatureSpectrum:
        """The spectrum of U."""
        return feature_spectrum(self.psi_p, self.psi_n, self.constants, self.variances)


def document(model: Model) -> dict[str, Any]:
    """What the theory says: regime, constants, parts, and timescales in the paper's time lr·τ/d² (None without a gap).

    Raises:
        SettingError: unknown activation.
        TheoryError: the equations could not be solved to their tolerance.
    """
    p, n = model.sizes()
    predicted = predicted_timescales(model.theory, paper_rate(model.t, model.psi_p))
    return {
        **asdict(model),
        "p": p,
        "n": n,
        "regime": model.theory.regime,
        "constants": asdict(model.constants),
        "parts": [asdict(part) for part in model.theory.parts],
        "timescales": None if predicted is None else asdict(predicted),
        "unit": "lr*tau/d**2",
    }


def compare(model: Model, out: Path, seed: int) -> dict[str, Any]:
    """Draw the theory's density over the histograms of a drawn U and of its Gaussian equivalent.

    Args:
        model: whose p is at most `LARGEST`.
        out: the figure.
        seed: of what is drawn.

    Returns:
        For `u` and `gaussian_equivalent`: `distance`, the largest difference between the shares of eigenvalues below λ
        over all λ > 1.3 s² (a delta mass is spread at finite d), and for each part the `low`, `high` and `mean` of as
        many eigenvalues.

    Raises:
        SettingError: p is too large to be drawn.
        InputError: the figure's name ends in something else than .png, .pdf or .svg.
    """
    p, n = model.sizes()
    if p > LARGEST:
        raise SettingError(
            "psi_p", model.psi_p, f"p = psi_p·d = {p} is too large to be drawn; {LARGEST} at most"
        )
    drawn = drawn_spectra(p, n, model.variances, model.constants, model.activation, seed)
    theory = model.theory
    about = f"$\\psi_p$ = {model.psi_p:g}, $\\psi_n$ = {model.psi_n:g}, t = {model.t:g}, d = {model.d}"
    spectra = {
        f"U, {model.covariance.replace('_', '-')}\n{about}": drawn.measured,
        f"its Gaussian equivalent\n{about}": drawn.equivalent,
    }
    deltas = {title: (theory.ensemble.s2, theory.delta_mass) for title in spectra if theory.delta_mass > 0}
    draw_spectrum(out, spectra, dict.fromkeys(spectra, theory.density), deltas)
    return {
        "u": _compared(theory, drawn.measured),
        "gaussian_equivalent": _compared(theory, drawn.equivalent),
    }


def _compared(theory: FeatureSpectrum, eigenvalues: Floats) -> dict[str, Any]:
    p = len(eigenvalues)
    away = np.flatnonzero(eigenvalues > 1.3 * theory.ensemble.s2)
    distance = np.abs(theory.cdf(eigenvalues[away]) - (away + 0.5) / p).max(initial=0.0)
    parts, begin = [], 0
    for part in theory.parts:
        end = begin + round(part.mass * p)
        own = eigenvalues[begin:end]
        if len(own):
            parts.append(
                {"name": part.name, "low": float(own[0]), "high": float(own[-1]), "mean": float(own.mean())}
            )
        begin = end
    return {"distance": float(distance), "parts": parts}
