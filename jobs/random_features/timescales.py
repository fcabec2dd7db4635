"""Timescales of training that the theory of the spectrum predicts: tau_gen from bulk 2, tau_mem from bulk 1.

The same definitions as `jobs.random_features.closed_form.spectral_timescales`, which reads them from a
measured spectrum; only the parts come from the self-consistent equations. Called by the command line and
tests; torch-free.
"""

from __future__ import annotations

from tausweep.jobs.random_features.closed_form import SpectralTimescales
from tausweep.jobs.random_features.moments import noise_variance
from tausweep.jobs.random_features.spectrum import FeatureSpectrum, Part
from tausweep.jobs.random_features.stieltjes import Ensemble

_OF_MASS = 0.02  # of n − d eigenvalues, as the masses of the pieces are known


def paper_rate(t: float, psi_p: float) -> float:
    """R = 2 Δ_t/ψ_p, the rate of an eigenvalue 1 in the paper's time lr·τ/d² (see `closed_form`)."""
    return 2 * noise_variance(t) / psi_p


def predicted_timescales(spectrum: FeatureSpectrum, rate: float) -> SpectralTimescales | None:
    """1/(R λ) at the means and the edges of bulk 2 (tau_gen) and the main piece of bulk 1 (tau_mem).

    Args:
        spectrum: of U in theory.
        rate: R, the rate of an eigenvalue 1 in the wanted unit of time, such as `paper_rate`, or
            `ClosedForm.rate` for updates.

    Returns:
        None where bulk 1 has no gap below bulk 2, or is empty (p ≤ d): there is no second timescale.

    Raises:
        TheoryError: the spectrum could not be computed to its tolerance.
    """
    first, second = spectrum.part("bulk 2"), spectrum.part("bulk 1")
    if first is None or second is None:
        return None
    low, mean = _main_bulk(second, spectrum.ensemble)
    return SpectralTimescales(
        tau_gen=1 / (rate * first.mean),
        tau_gen_slowest=1 / (rate * first.intervals[0].low),
        tau_mem=1 / (rate * mean),
        tau_mem_fastest=1 / (rate * second.intervals[-1].high),
        tau_mem_slowest=1 / (rate * low),
        tau_mem_with_sub_bulk=1 / (rate * second.mean),
    )


def _main_bulk(bulk: Part, ensemble: Ensemble) -> tuple[float, float]:
    """Lower edge and mean of the n − d largest eigenvalues of bulk 1.

    Of all where no gap separates them from the d others.
    """
    mass, first = 0.0, 0.0
    for piece in reversed(bulk.intervals):
        mass, first = mass + piece.mass, first + piece.mass * piece.mean
        if abs(mass * ensemble.psi_p - (ensemble.psi_n - 1)) < _OF_MASS * (ensemble.psi_n - 1):
            return piece.low, first / mass
    return bulk.intervals[0].low, bulk.mean
