"""How much faster the closed form reaches tau = 10⁶ than gradient descent that takes every step.

`python -m tests.benchmarks.bench_random_features [STEPS]`: times the closed form whole (eigen-decomposition and the losses
at 90 log-spaced tau up to 10⁶), and STEPS updates of plain gradient descent in torch, scaled to 10⁶ by their number.
What both need, U and V, is in neither. Checks that both agree after STEPS updates.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import torch

from tausweep.jobs.data.elliptical import gaussian
from tausweep.jobs.random_features.closed_form import ClosedForm, ScoreMatching
from tausweep.jobs.random_features.moments import noise_variance, population_moments, train_moments

D, PSI_P, N, T, LR, TAU = 30, 10, 120, 0.01, 900.0, 1_000_000


def main() -> None:
    """Measure and print one line each."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    data, rng = gaussian(np.ones(D)), np.random.default_rng(0)
    W, x0 = rng.standard_normal((PSI_P * D, D)), data.draw(N, rng)
    problem = ScoreMatching(
        train=train_moments(W, x0, T, "tanh"),
        population=population_moments(W, data, T, "tanh"),
        t=T,
        score_square=data.score_square(math.exp(-T), noise_variance(T)),
    )
    began = time.perf_counter()
    form = ClosedForm(problem, LR)
    for tau in np.geomspace(1, TAU, 90).round():
        problem.losses(form.weights(tau))
    closed = time.perf_counter() - began

    U, V = torch.from_numpy(problem.train.U), torch.from_numpy(problem.train.V)
    A, p = torch.zeros(D, PSI_P * D, dtype=torch.float64), PSI_P * D
    curvature, linear = 2 * problem.delta / (D * p), 2 * math.sqrt(problem.delta / p) / D * V.T
    began = time.perf_counter()
    for _ in range(steps):
        A = A - LR * (curvature * A @ U + linear)
    descent = (time.perf_counter() - began) / steps * TAU
    error = np.abs(A.numpy() - form.weights(steps)).max()

    print(f"d = {D}, p = {p}, n = {N}; A after {steps:,} steps differs by {error:.1e}")
    print(f"closed form to tau = 10^6, 90 evaluations: {closed:.3f} s")
    print(
        f"gradient descent, {steps:,} steps measured and scaled to 10^6: {descent:.0f} s, without evaluations"
    )
    print(f"ratio: {descent / closed:,.0f}")


if __name__ == "__main__":
    main()
