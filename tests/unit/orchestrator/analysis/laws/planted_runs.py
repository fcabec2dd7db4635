"""Runs whose tau_mem follows a planted law, as the resolver has them: for the tests of laws and of the line."""

from __future__ import annotations

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import Crossing
from tausweep.orchestrator.analysis.runs.results import RunTimescales


def planted(tau, *, budget, noise, sizes, seeds=2, widths=(16,), rng=None):
    """Runs of tau(n, p)·exp(noise·error), cut at the budget; p = 280 W², tau_gen = 100."""
    rng = rng or np.random.default_rng(3)
    runs = []
    for W in widths:
        p = 280 * W**2
        for n in sizes:
            for seed in range(seeds):
                time = tau(n, p)
                time = float(time * np.exp(noise * rng.standard_normal())) if 0 < time < np.inf else np.inf
                seen = Crossing(time, None, None) if time <= budget else Crossing(None, "right", budget)
                runs.append(
                    RunTimescales(W=W, p=p, optimizer="adam", batch="n", settings={}, run_id=f"{W}-{n}-{seed}", state="succeeded",
                                  n=n, seed=seed, subset=0, budget=int(budget), crossings={"f_mem": seen, "gen": Crossing(100.0, None, None)})
                )  # fmt: skip
    return runs
