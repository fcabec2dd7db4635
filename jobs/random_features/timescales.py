"""Timescales of training that the theory of the spectrum predicts: tau_gen from bulk 2, tau_mem from bulk 1.

The same definitions as `jobs.random_features.closed_form.spectral_timescales`, which reads them from a measured spectrum; only the
parts come from the self-consistent equations. Called by the command line and tests; torch-free.
"""

from __future__ import annotations

from tausweep.jobs.random_features.closed_form import SpectralTimescales
from tausweep.jobs.random_features.moments import noise_variance
from tausweep.jobs.random_features.spectrum import FeatureSpectrum


def paper_rate(t: float, psi_p: float) -> float:
    """R = 2 Δ_t/ψ_p, the rate of an eigenvalue 1 in the paper's time lr·τ/d² (see `jobs.random_features.closed_form`)."""
    return 2 * noise_variance(t) / psi_p


def predicted_timescales(spectrum: FeatureSpectrum, rate: float) -> SpectralTimescales | None:
    """1/(R λ) at the means and the edges of bulk 2 (tau_gen) and bulk 1 (tau_mem).

    Args:
        spectrum: of U in theory.
        rate: R, of an eigenvalue 1 in the unit of time that is wanted, such as `paper_rate`, or `ClosedForm.rate` for
            updates.

    Returns:
        None where bulk 1 has no gap below bulk 2, or is empty (p ≤ d): there is no second timescale.

    Raises:
        TheoryError: the spectrum could not be computed to its tolerance.
    """
    first, second = spectrum.part("bulk 2"), spectrum.part("bulk 1")
    if first is None or second is None:
        return None
    return SpectralTimescales(
        tau_gen=1 / (rate * first.mean),
        tau_gen_slowest=1 / (rate * first.intervals[0].low),
        tau_mem=1 / (rate * second.mean),
        tau_mem_fastest=1 / (rate * second.intervals[-1].high),
        tau_mem_slowest=1 / (rate * second.intervals[0].low),
    )
