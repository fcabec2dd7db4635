"""Censored regression on a smooth curve with normal errors, by maximum likelihood.

Called by the competing laws with ln tau; knows neither tau nor n. The likelihood is that of
`orchestrator.analysis.statistics.censored_regression`, in which a censored response enters with the
probability of lying beyond its bound. The maximum is found by Levenberg and Marquardt's method on (theta, ln
sigma) from several starts. Intervals use the profile likelihood with the threshold of the linear regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr

from tausweep.orchestrator.analysis.criteria.first_crossing import LEFT, Floats
from tausweep.orchestrator.analysis.statistics.censored_regression import Responses

_LEAST_SIGMA = 1e-7
_ITERATIONS = 100
_GAIN = 1e-7  # gain of ln L below which the search ends
_STARTS = 2  # only the most likely of the given starts are followed


class Mean(NamedTuple):
    """A curve at its parameters.

    Attributes:
        value: (N,) mean of each response.
        slope: (N, K) its derivatives.
    """

    value: Floats
    slope: Floats


Curve = Callable[[Floats], Mean]
"""From (K,) parameters to the mean of each response. Smooth and finite everywhere, or the search for the maximum gets stuck."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveFit:
    """A maximum of the likelihood.

    Attributes:
        theta: (K,) parameters.
        sigma: standard deviation of the errors.
        log_likelihood: at the maximum, in nats.
        errors: (K,) of theta, from the expected information; for first guesses only.
    """

    theta: Floats
    sigma: float
    log_likelihood: float
    errors: Floats


def fit_curve(curve: Curve, starts: Sequence[Floats], level: Floats, responses: Responses) -> CurveFit:
    """Maximise the likelihood of value = curve(theta) + sigma·error.

    Args:
        curve: the mean and its derivatives.
        starts: (K,) parameters each, at least one.
        level: (K,) direction of the parameters that shifts the whole curve; the responses set the shift of
            each start.
        responses: more than K of them uncensored.
    """
    seen = responses.seen
    levelled = []
    for start in starts:
        offset = responses.value[seen] - curve(start).value[seen]
        theta = start + level * offset.mean()
        sigma = np.sqrt(np.mean((responses.value[seen] - curve(theta).value[seen]) ** 2))
        levelled.append(np.append(theta, np.log(max(float(sigma), _LEAST_SIGMA))))
    likely = sorted(levelled, key=lambda at: -_likelihood(curve, at, responses))[:_STARTS]
    free = np.ones(len(starts[0]) + 1, dtype=bool)
    tops = [_climb(curve, at, free, responses) for at in likely]
    at, log_likelihood, information = max(tops, key=lambda top: top[1])
    K = len(at) - 1
    variances = np.diag(np.linalg.pinv(information))[:K]
    return CurveFit(
        theta=at[:K],
        sigma=float(np.exp(at[-1])),
        log_likelihood=log_likelihood,
        errors=np.sqrt(np.maximum(variances, 0)),
    )


def profile_of(
    curve: Curve,
    fit: CurveFit,
    responses: Responses,
    place: int,
    allowed: float,
    limits: tuple[float, float],
) -> tuple[float | None, float | None]:
    """Profile-likelihood interval of one parameter.

    None on a side where no value up to the limit is rejected.

    Args:
        curve: the curve of the fit.
        fit: the maximum.
        responses: of the fit.
        place: which parameter.
        allowed: how far ln L may fall.
        limits: values beyond which the curve no longer changes.
    """
    low, high = (_end(curve, fit, responses, place, allowed, limit) for limit in limits)
    return low, high


def _end(
    curve: Curve, fit: CurveFit, responses: Responses, place: int, allowed: float, limit: float
) -> float | None:
    centre, side = float(fit.theta[place]), np.sign(limit - fit.theta[place])
    if side == 0:
        return None
    profile = _Profile(curve, fit, responses, place)

    def excess(value: float) -> float:
        # The root of the fall is nearly linear in the parameter, so few steps find the end.
        return float(np.sqrt(max(fit.log_likelihood - profile.at(value), 0.0)) - np.sqrt(allowed))

    step = max(1.1 * np.sqrt(2 * allowed) * float(fit.errors[place]), 1e-6 * (1 + abs(centre)))
    inside, reach = centre, step
    while True:
        outside = centre + side * min(reach, abs(limit - centre))
        if excess(outside) > 0:
            if excess(inside) >= 0:
                return inside  # rounding: where responses lie on the curve, the likelihood is almost a step
            return float(brentq(excess, inside, outside, xtol=2e-3 * step))
        if reach >= abs(limit - centre):
            return None
        inside, reach = outside, 2 * reach


class _Profile:
    """The largest ln L at values of one parameter.

    Each search starts from an extrapolation of earlier ones.
    """

    def __init__(self, curve: Curve, fit: CurveFit, responses: Responses, place: int) -> None:
        self._curve, self._responses, self._place = curve, responses, place
        self._free = np.arange(len(fit.theta) + 1) != place
        best = np.append(fit.theta, np.log(fit.sigma))
        self._maxima = {float(fit.theta[place]): (best, fit.log_likelihood)}

    def at(self, value: float) -> float:
        """Ln L at a value of the parameter."""
        if value not in self._maxima:
            starts = self._starts(value)
            start = max(starts, key=lambda at: _likelihood(self._curve, at, self._responses))
            top, likelihood, _ = _climb(self._curve, start, self._free, self._responses)
            self._maxima[value] = top, likelihood
        return self._maxima[value][1]

    def _starts(self, value: float) -> list[Floats]:
        """The nearest maximum moved to the value, and the linear extrapolation of the two nearest."""
        near, *others = sorted(self._maxima, key=lambda known: abs(known - value))
        start = self._maxima[near][0].copy()
        start[self._place] = value
        if not others:
            return [start]
        slope = (self._maxima[others[0]][0] - self._maxima[near][0]) / (others[0] - near)
        along: Floats = self._maxima[near][0] + slope * (value - near)
        along[self._place] = value
        along[-1] = max(along[-1], np.log(_LEAST_SIGMA))
        return [along, start]


def _climb(
    curve: Curve, start: Floats, free: NDArray[np.bool_], responses: Responses
) -> tuple[Floats, float, Floats]:
    """The maximum near (theta, ln sigma) over the free parameters: its place, ln L and the information."""
    at, damping = start, 1e-3
    value, gradient, information = _derivatives(curve, at, responses)
    moved = np.eye(len(at))[free]
    for _ in range(_ITERATIONS):
        inner = moved @ information @ moved.T
        scale = inner.diagonal()
        # A parameter without effect, such as a floor far below, stays where it is.
        damped = inner + np.diag(damping * scale + 1e-9 * (scale.max() + 1e-9))
        step = np.linalg.solve(damped, gradient[free]) @ moved
        step *= min(1.0, 2 / max(float(np.abs(step).max()), 1e-300))
        proposed = at + step
        proposed[-1] = max(proposed[-1], np.log(_LEAST_SIGMA))
        there = _derivatives(curve, proposed, responses)
        if there[0] >= value:
            gain, at, damping = there[0] - value, proposed, damping / 10
            value, gradient, information = there
            if gain < _GAIN:
                break
        else:
            damping *= 10
            if damping > 1e10:
                break
    return at, value, information


def _likelihood(curve: Curve, at: Floats, responses: Responses) -> float:
    z = (responses.value - curve(at[:-1]).value) * np.exp(-at[-1])
    return float(_terms(z, at[-1], responses).sum())


def _terms(z: Floats, log_sigma: float, responses: Responses) -> Floats:
    terms: Floats = -log_sigma - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    out = ~responses.seen
    if out.any():
        terms[out] = log_ndtr(np.where(responses.censored[out] == LEFT, z[out], -z[out]))
    return terms


def _derivatives(curve: Curve, at: Floats, responses: Responses) -> tuple[float, Floats, Floats]:
    """Ln L, its gradient and the information, all over (theta, ln sigma).

    The information is never negative.
    """
    mean = curve(at[:-1])
    rate = np.exp(-at[-1])
    z = (responses.value - mean.value) * rate
    terms = _terms(z, at[-1], responses)
    first, weight = -z, np.ones_like(z)  # d of a term by z, and minus its second derivative
    out = ~responses.seen
    if out.any():
        side = np.where(responses.censored[out] == LEFT, 1.0, -1.0)
        with np.errstate(under="ignore"):
            mills = np.exp(-0.5 * z[out] ** 2 - 0.5 * np.log(2 * np.pi) - terms[out])
        first[out], weight[out] = side * mills, np.maximum(mills * (mills + side * z[out]), 0)
    inward = np.column_stack([-mean.slope * rate, -z])  # dz by theta and by ln sigma
    gradient = inward.T @ first
    information = (inward.T * weight) @ inward
    count = float(responses.seen.sum())
    gradient[-1] -= count
    information[-1, -1] += count
    return float(terms.sum()), gradient, information
