"""The Stieltjes transform of the random-features matrix U for any spectrum of the data covariance.

With W (p, d) and Ω (p, n) standard Gaussian and the columns of X' from N(0, Σ), the Gaussian equivalent of U
is

    M + s² I,   M = G Gᵀ/n + b² W Wᵀ/d,   G = c W X'/√d + v Ω,   c = e^{-t} a.

Given W, the columns of G are Gaussian with covariance C = c² W Σ Wᵀ/d + v² I, so for n, p, d → ∞ at fixed
ratios the resolvent of M is that of h C + b² W Wᵀ/d, h = 1/(1 + tr[C (M − z)⁻¹]/n), in which W Wᵀ stands with
a diagonal between (Marchenko and Pastur). For q(z) = tr (M − z)⁻¹/p and B = b² + c² h σ, σ distributed as the
eigenvalues of Σ:

    −1/q + v² h + E[B / (1 + ψ_p B q)] = z
    1/h − 1 = (ψ_p/ψ_n) q (v² + c² E[σ / (1 + ψ_p B q)])

(equivalent to the saddle-point equations of Bonnaire et al., arXiv:2505.17638, there with one unknown more).
For Im z > 0 the equations are the fixed point of an analytic map of {Im q > 0, Im h < 0} into its inside, so
exactly one solution lies there (Earle and Hamilton): whatever Newton's method finds is accepted only if it
does. Called by the spectrum's parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tausweep.jobs.arrays import Floats
from tausweep.storage.errors import TheoryError

Complexes = NDArray[np.complex128]

ANGLE = 1e-10
"""Of z = y e^{i·ANGLE} above the real axis: densities are smeared by this fraction of y."""
_START = 2.5  # rad: almost on the negative axis, where M − z is well conditioned
_RESIDUAL = 1e-9
_NEWTON, _ROUNDS, _PICARD = 12, 400, 15
_STRIDE = 12  # of neighbouring points, how many are started from those that are known
_CHUNK = 2**21  # points times eigenvalues of Σ at once; bounds memory


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The parameters of the spectrum of U.

    Attributes:
        psi_p: p/d, above 0.
        psi_n: n/d, above 0.
        b2: b_t², at least 0.
        c2: e^{-2t} a_t², at least 0.
        v2: v_t², at least 0; not all three 0.
        s2: s_t², at least 0: shifts the spectrum.
        sigma: (K,) float64, different eigenvalues of Σ, at least 0.
        weights: (K,) float64, their shares, sum 1.
    """

    psi_p: float
    psi_n: float
    b2: float
    c2: float
    v2: float
    s2: float
    sigma: Floats
    weights: Floats


class Resolvent(NamedTuple):
    """q and h of the equations above, complex128, at each z."""

    q: Complexes
    h: Complexes


def solve(ensemble: Ensemble, y: Floats) -> Resolvent:
    """The unknowns q and h just above the real axis, at z = y e^{i·ANGLE}.

    Some points are reached by the way that `_rotate` takes, the others by Newton's method from their
    neighbours; those on which that fails or leaves the half planes are reached by `_rotate` too.

    Args:
        ensemble: what to solve for.
        y: λ − s² > 0, ascending, shape (M,).

    Raises:
        TheoryError: a point could not be reached; says which.
    """
    size = max(2, _CHUNK // len(ensemble.sigma))
    if len(y) > size:
        parts = [solve(ensemble, y[start : start + size]) for start in range(0, len(y), size)]
        return Resolvent(np.concatenate([p.q for p in parts]), np.concatenate([p.h for p in parts]))
    coarse = y[::_STRIDE]
    known = _rotate(ensemble, coarse)
    if len(coarse) == len(y):
        return known
    near = [np.interp(np.log(y), np.log(coarse), np.log(values)) for values in known]
    solved, good = _newton(ensemble, y * np.exp(1j * ANGLE), Resolvent(*np.exp(near)))
    if not good.all():
        solved.q[~good], solved.h[~good] = _rotate(ensemble, y[~good])
    return solved


def _rotate(ensemble: Ensemble, y: Floats) -> Resolvent:
    """From the far side on a circle around 0, each step checked.

    Steps that fail for a point are halved for it.
    """
    angle, step = np.full_like(y, _START), np.full_like(y, 0.7)  # step: of ln angle
    q, h = _first(ensemble, y * np.exp(1j * angle))
    for _ in range(_ROUNDS):
        todo = np.flatnonzero(angle > ANGLE)
        if not len(todo):
            return Resolvent(q, h)
        reached = np.maximum(angle[todo] * np.exp(-step[todo]), ANGLE)
        tried = Resolvent(q[todo], h[todo])
        z = np.asarray(y[todo] * np.exp(1j * reached), np.complex128)
        new, good = _newton(ensemble, z, tried)
        moved = todo[good]
        q[moved], h[moved], angle[moved] = new.q[good], new.h[good], reached[good]
        step[todo] = np.where(good, np.minimum(1.5 * step[todo], 3.0), step[todo] / 2)
    lost = ensemble.s2 + y[angle > ANGLE][0]
    raise TheoryError(
        f"the self-consistent equations could not be solved at lambda = {lost:.6g}: no solution with Im q > 0 was reached"
    )


def _first(ensemble: Ensemble, z: Complexes) -> Resolvent:
    """The solution on the far side: a contraction until Newton's method holds."""
    q, h = -1 / z, np.full_like(z, 0.5)
    sums = np.stack([ensemble.weights, ensemble.weights * ensemble.sigma], axis=1)
    for _ in range(_PICARD):
        for _ in range(_PICARD):
            u = 1 / (
                1 + ensemble.psi_p * (ensemble.b2 + ensemble.c2 * h[:, None] * ensemble.sigma) * q[:, None]
            )
            mean_u, mean_su = (u @ sums).T
            shared = ensemble.psi_p / ensemble.psi_n * q * (ensemble.v2 + ensemble.c2 * mean_su)
            q = 1 / (ensemble.v2 * h + ensemble.b2 * mean_u + ensemble.c2 * h * mean_su - z)
            h = 1 / (1 + shared)
        solved, good = _newton(ensemble, z, Resolvent(q, h))
        if good.all():
            return solved
    raise TheoryError(f"the self-consistent equations could not be solved at z = {z[~good][0]:.6g}")


def _newton(ensemble: Ensemble, z: Complexes, start: Resolvent) -> tuple[Resolvent, NDArray[np.bool_]]:
    """Newton's method in ln q and ln h, and which points it solved on the right branch."""
    log_q, log_h = np.log(start.q), np.log(start.h)
    for _ in range(_NEWTON):
        q, h = np.exp(log_q), np.exp(log_h)
        (f, g), (f_q, f_h, g_q, g_h) = _equations(ensemble, z, q, h)
        size = np.maximum(abs(f), abs(g))
        if (size < 1e-3 * _RESIDUAL).all():
            break
        determinant = f_q * g_h - f_h * g_q
        with np.errstate(divide="ignore", invalid="ignore"):  # singular: not finite, and refused below
            dq, dh = (f_h * g - g_h * f) / determinant, (g_q * f - f_q * g) / determinant
            damping = np.minimum(1, 1 / np.maximum(abs(dq), abs(dh)))
        log_q, log_h = log_q + damping * dq, log_h + damping * dh
        # A lost point stays where it began: it must not overflow the others.
        lost = ~np.isfinite(log_q + log_h) | (abs(log_q - np.log(start.q)) > 50)
        log_q, log_h = np.where(lost, np.log(start.q), log_q), np.where(lost, np.log(start.h), log_h)
    q, h = np.exp(log_q), np.exp(log_h)
    (f, g), _ = _equations(ensemble, z, q, h)
    good = (
        (np.maximum(abs(f), abs(g)) < _RESIDUAL) & (q.imag > 0) & (h.imag <= 0)
    )  # h is 1 without data and noise
    return Resolvent(q, h), good


def _equations(
    ensemble: Ensemble, z: Complexes, q: Complexes, h: Complexes
) -> tuple[tuple[Complexes, Complexes], tuple[Complexes, Complexes, Complexes, Complexes]]:
    """Both equations times q and h (0 where solved), and their derivatives by ln q and ln h."""
    b2, c2, v2, psi = ensemble.b2, ensemble.c2, ensemble.v2, ensemble.psi_p
    sigma, w = ensemble.sigma, ensemble.weights
    u = 1 / (1 + psi * (b2 + c2 * h[:, None] * sigma) * q[:, None])  # (M, K)
    u1, su1 = (u @ np.stack([w, w * sigma], axis=1)).T
    u2, su2, ssu2 = (u**2 @ np.stack([w, w * sigma, w * sigma**2], axis=1)).T
    inner = v2 * h + b2 * u1 + c2 * h * su1 - z
    shared = psi / ensemble.psi_n * q * (v2 + c2 * su1)
    bu2 = b2 * su2 + c2 * h * ssu2  # E[σ B u²]
    bbu2 = b2 * (b2 * u2 + c2 * h * su2) + c2 * h * bu2  # E[B² u²]
    f, g = q * inner - 1, h * (1 + shared) - 1
    ratio = psi / ensemble.psi_n
    return (f, g), (
        q * inner - psi * q**2 * bbu2,
        q * h * (v2 + c2 * su2),
        h * (shared - ratio * c2 * psi * q**2 * bu2),
        h * (1 + shared) - ratio * c2**2 * psi * (q * h) ** 2 * ssu2,
    )
