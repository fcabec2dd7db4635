"""Censored linear regression (Tobit) by maximum likelihood, with profile-likelihood intervals.

Called by the laws with ln tau; knows neither tau nor n. Errors are normal. An uncensored response enters with
its density, a censored one with the probability of lying above or below its bound (Tobin 1958,
doi:10.2307/1907382; in ln tau this is the log-normal accelerated-failure-time model). In Olsen's parameters
delta = beta/sigma, theta = 1/sigma the log-likelihood is concave (Olsen 1978, doi:10.2307/1913082), so
Newton's method finds its only maximum.

Intervals keep the values that a likelihood-ratio test does not reject, with a threshold that makes it
Student's t test where nothing is censored: N·ln(1 + t²/nu) with N uncensored responses and nu = N − rank
degrees of freedom. With few runs the usual threshold, that of chi-squared, would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import log_ndtr

from tausweep.orchestrator.analysis.criteria.first_crossing import LEFT, RIGHT, Floats

_TOLERANCE, _ITERATIONS = 1e-10, 200
_FARTHEST = 1e4  # an interval beyond this many standard errors counts as open


class Responses(NamedTuple):
    """N responses, censored or not.

    Attributes:
        value: (N,) the response, or the bound of a censored one.
        censored: (N,) 0 seen, RIGHT above the value, LEFT at or below it.
    """

    value: Floats
    censored: NDArray[np.int8]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,) which responses are not censored."""
        seen: NDArray[np.bool_] = self.censored == 0
        return seen

    def shifted(self, by: Floats) -> Responses:
        """The same, with a value subtracted from each response."""
        return Responses(self.value - by, self.censored)


@dataclass(frozen=True, kw_only=True, eq=False)
class CensoredFit:
    """A maximum of the likelihood.

    Attributes:
        beta: (K,) coefficients.
        sigma: standard deviation of the errors.
        log_likelihood: at the maximum, in nats.
        covariance: (K, K) of beta, from the observed information; for first guesses only.
    """

    beta: Floats
    sigma: float
    log_likelihood: float
    covariance: Floats


def is_determined(X: Floats, responses: Responses) -> bool:
    """Whether the likelihood has a maximum with sigma > 0: full rank and one uncensored value to spare."""
    seen = X[responses.seen]
    return len(seen) > X.shape[1] and bool(np.linalg.matrix_rank(seen) == X.shape[1])


def fit_censored(X: Floats, responses: Responses) -> CensoredFit:
    """Maximise the likelihood of value = X·beta + sigma·error.

    ln L = Σ_seen ln[phi(z)/sigma] + Σ_above ln Phi(−z) + Σ_below ln Phi(z), z = (value − X·beta)/sigma.

    Args:
        X: (N, K) design; K may be 0.
        responses: N of them; `is_determined` must hold.
    """
    y, censored = responses
    seen = responses.seen
    beta = np.linalg.lstsq(X[seen], y[seen], rcond=None)[0] if X.shape[1] else np.zeros(0)
    spread = float(np.sqrt(np.mean((y[seen] - X[seen] @ beta) ** 2)))
    scale = max(spread, 1e-9 * (1 + float(np.abs(y[seen]).max())))  # responses exactly on the plane
    parameters = np.append(beta, 1.0) / scale  # delta, theta
    A = np.column_stack([-X, y])  # z = A·parameters
    value = _log_likelihood(A, parameters, censored)
    for _ in range(_ITERATIONS):
        gradient, hessian = _derivatives(A, parameters, censored)
        step = np.linalg.lstsq(hessian, -gradient, rcond=None)[0]
        length = 1.0
        while True:
            proposed = parameters + length * step
            risen = _log_likelihood(A, proposed, censored) if proposed[-1] > 0 else -np.inf
            if risen >= value or length < 1e-8:
                break
            length /= 2
        if risen <= value + _TOLERANCE:
            parameters = proposed if risen >= value else parameters
            break
        parameters, value = proposed, risen
    return _as_fit(A, parameters, censored)


def _as_fit(A: Floats, parameters: Floats, censored: NDArray[np.int8]) -> CensoredFit:
    sigma = float(1 / parameters[-1])
    beta = parameters[:-1] * sigma
    information = -_derivatives(A, parameters, censored)[1]
    # delta-method from (delta, theta) to beta = delta/theta
    jacobian = np.column_stack([np.eye(len(beta)) * sigma, -beta * sigma])
    covariance = jacobian @ np.linalg.pinv(information) @ jacobian.T
    value = _log_likelihood(A, parameters, censored)
    return CensoredFit(beta=beta, sigma=sigma, log_likelihood=value, covariance=covariance)


def _log_likelihood(A: Floats, parameters: Floats, censored: NDArray[np.int8]) -> float:
    z = A @ parameters
    seen = np.log(parameters[-1]) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    return float(np.where(censored == 0, seen, log_ndtr(np.where(censored == RIGHT, -z, z))).sum())


def _derivatives(A: Floats, parameters: Floats, censored: NDArray[np.int8]) -> tuple[Floats, Floats]:
    z = A @ parameters
    side = np.where(censored == LEFT, 1.0, -1.0)  # d of ±z in ln Phi(±z)
    mills = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(side * z))
    first = np.where(censored == 0, -z, side * mills)
    second = np.where(censored == 0, -1.0, -mills * (mills + side * z))
    gradient, hessian = A.T @ first, (A.T * second) @ A
    count = int((censored == 0).sum())
    gradient[-1] += count / parameters[-1]
    hessian[-1, -1] -= count / parameters[-1] ** 2
    return gradient, hessian


def threshold(responses: Responses, rank: int, confidence: float) -> float:
    """How far ln L may fall from its maximum within an interval: N/2·ln(1 + t²/nu); N seen, nu = N − rank."""
    count = int(responses.seen.sum())
    freedom = count - rank
    t = stats.t.ppf((1 + confidence) / 2, freedom)
    return float(count / 2 * np.log1p(t**2 / freedom))


def p_value(fall: float, responses: Responses, rank: int, restrictions: int = 1) -> float:
    """The p-value of a likelihood-ratio test in which ln L falls by `fall` under this many restrictions.

    The F test where nothing is censored.
    """
    count = int(responses.seen.sum())
    freedom = count - rank
    statistic = np.expm1(2 * max(fall, 0.0) / count) * freedom / restrictions
    return float(stats.f.sf(statistic, restrictions, freedom))


def held(X: Floats, responses: Responses, column: int, value: float) -> CensoredFit:
    """The best fit with one coefficient fixed at a value."""
    return fit_censored(np.delete(X, column, axis=1), responses.shifted(value * X[:, column]))


def profile_interval(
    X: Floats, responses: Responses, fit: CensoredFit, column: int, confidence: float
) -> tuple[float | None, float | None]:
    """Profile-likelihood interval of a coefficient; None on a side where no value is rejected.

    Args:
        X: (N, K) design of the fit.
        responses: the responses of the fit.
        fit: the maximum.
        column: which coefficient.
        confidence: such as 0.95.
    """
    allowed = threshold(responses, X.shape[1], confidence)
    centre = float(fit.beta[column])
    error = max(float(np.sqrt(max(fit.covariance[column, column], 0.0))), 1e-12 * (1 + abs(centre)))

    def excess(value: float) -> float:
        return fit.log_likelihood - held(X, responses, column, value).log_likelihood - allowed

    low, high = (_root(excess, centre, side * error) for side in (-1, 1))
    return low, high


def _root(excess: Callable[[float], float], centre: float, step: float) -> float | None:
    reach = 2.0
    while reach < _FARTHEST:
        if excess(centre + reach * step) > 0:
            if excess(centre) >= 0:
                return centre  # rounding: where responses lie on the plane, the likelihood is almost a step
            return float(brentq(excess, centre, centre + reach * step, xtol=1e-5 * abs(step)))
        reach *= 2
    return None
