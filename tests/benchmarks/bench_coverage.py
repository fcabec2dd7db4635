"""Do the 95 % intervals hold what was planted in 93 to 97 % of studies? Simulations of every kind of interval.

Laws: log-normal tau = 20·n about a power law, n = 16, 32, 64, 128, so many seeds, a budget that censors a share of the runs;
a hit is an exponent of 1 within the profile-likelihood interval. Against it, what one would do without a censored regression:
drop the censored runs and take the percentiles of a bootstrap over seeds. Laws over widths: tau ∝ n·W^−0.5, by `fit_law`
itself, censored on either side. Timescales: 200 samples whose onsets are logistic in ln tau, the run's own tau_mem for the
interval of a run, the median over all seeds for that of an n. Boundary: outcomes drawn from a logistic curve in ln n. Line:
tau = 30·n/(1 − n/30). Collapse: the study of the timescales at four n.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import Crossing, extended
from tausweep.orchestrator.analysis.criteria.first_crossing import RIGHT
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.architectural_line import fit_limit
from tausweep.orchestrator.analysis.laws.collapse import Points, best_exponent, resampled
from tausweep.orchestrator.analysis.laws.power_laws import Crossed, fit_law
from tausweep.orchestrator.analysis.statistics.bootstrap import (
    fractions,
    interval,
    median,
    resample_counts,
    resample_seeds,
)
from tausweep.orchestrator.analysis.statistics.boundary_posterior import BoundaryPosterior, DecidedRun
from tausweep.orchestrator.analysis.statistics.censored_regression import (
    Responses,
    fit_censored,
    held,
    is_determined,
    threshold,
)

NOISE = 0.2
SIZES = (16, 32, 64, 128)
DENSE = (4, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48)


def law_study(rng, seeds, budget):
    n = np.repeat(SIZES, seeds).astype(float)
    log_tau = math.log(20) + np.log(n) + NOISE * rng.normal(size=len(n))
    bound = math.log(20 * budget)
    censored = np.where(log_tau > bound, RIGHT, 0).astype(np.int8)
    return np.column_stack([np.ones(len(n)), np.log(n)]), Responses(np.minimum(log_tau, bound), censored)


def dropped_bootstrap_hit(X, responses, rng, draws=400):
    """Least squares on the runs that crossed, percentiles over resampled seeds of each n."""
    n, seen = X[:, 1], responses.seen
    slopes = []
    for _ in range(draws):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(n == size), (n == size).sum()) for size in np.unique(n)]
        )
        rows = rows[seen[rows]]
        if len(np.unique(n[rows])) > 1:
            slopes.append(np.polyfit(n[rows], responses.value[rows], 1)[0])
    low, high = np.quantile(slopes, [0.025, 0.975]) if slopes else (np.nan, np.nan)
    return low <= 1 <= high


def laws(studies, slow):
    print(
        "| seeds an n | censored | no interval | coverage | mean exponent | dropped + bootstrap | mean exponent |"
    )
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for seeds in (1, 2, 3, 5):
        for budget in (math.inf, 140, 95, 60):
            hits, slopes, naive, naive_slopes, shares, undetermined = [], [], [], [], [], 0
            for i in range(studies):
                X, responses = law_study(rng, seeds, budget)
                shares.append(1 - responses.seen.mean())
                if not is_determined(X, responses):
                    undetermined += 1
                    continue
                fit = fit_censored(X, responses)
                fall = fit.log_likelihood - held(X, responses, 1, 1.0).log_likelihood
                hits.append(fall <= threshold(responses, 2, 0.95))
                slopes.append(fit.beta[1])
                if i < slow:
                    naive.append(dropped_bootstrap_hit(X, responses, rng))
                    seen = responses.seen
                    naive_slopes.append(np.polyfit(X[seen, 1], responses.value[seen], 1)[0])
            print(
                f"| {seeds} | {np.mean(shares):.0%} | {undetermined / studies:.0%} | {np.mean(hits):.1%} | "
                f"{np.mean(slopes):.3f} | {np.mean(naive):.0%} | {np.mean(naive_slopes):.3f} |",
                flush=True,
            )


def holds(estimate, truth):
    """Whether an interval that may be open on a side holds a number."""
    return (estimate.low is None or estimate.low <= truth) and (
        estimate.high is None or truth <= estimate.high
    )


def crossing_between(tau, first, last):
    """What is seen of a crossing by evaluations from the first to the last tau."""
    if tau > last:
        return Crossing(None, "right", last)
    return Crossing(None, "left", first) if tau <= first else Crossing(tau, None, None)


def width_laws(studies):
    print("\n| W | seeds | censored right, left | exponent of n | exponent of 1/W |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(3)
    for widths, seeds in (((16, 32), 1), ((16, 32), 2), ((8, 16, 32), 2)):
        for first, last in ((0, math.inf), (0, 1500), (350, 1500)):
            hits, shares = [], []
            for _ in range(studies):
                runs = []
                for W in widths:
                    for n in SIZES:
                        for seed in range(seeds):
                            tau = 20 * n * (16 / W) ** 0.5 * math.exp(NOISE * rng.normal())
                            found = crossing_between(tau, first, last)
                            runs.append(Crossed(f"{W}-{n}-{seed}", n, W, "", found))
                law = fit_law(runs, widths=True, confidence=0.95)
                if law.exponent.low is not None:
                    hits.append([holds(law.exponent, 1), holds(law.width_exponent, 0.5)])
                shares.append([sum(r.crossing.censored == side for r in runs) for side in ("right", "left")])
            right, left = np.mean(shares, axis=0) / len(runs)
            alpha, gamma = np.mean(hits, axis=0)
            print(
                f"| {', '.join(map(str, widths))} | {seeds} | {right:.0%}, {left:.0%} | {alpha:.1%} | {gamma:.1%} |",
                flush=True,
            )


def memorising(tau, tau_mem, rng, samples=200):
    """(T, S) which samples are memorised: onsets logistic in ln tau, a tenth of them by tau_mem."""
    u = rng.uniform(size=samples)
    return tau_mem * np.exp(0.45 * (np.log(u / (1 - u)) + np.log(9))) <= tau[:, None]


def timescales(studies, draws=500):
    print("\n| seeds | interval of each run | interval of the median |")
    print("|---|---|---|")
    rng = np.random.default_rng(4)
    tau = np.unique(np.round(np.geomspace(100, 10_000, 29)).astype(np.int64))
    criterion = MemorisedFraction()
    for seeds in (1, 2, 3, 5, 10):
        own, middle = [], []
        for _ in range(studies):
            drawn = []
            for _ in range(seeds):
                tau_mem = 1000 * math.exp(NOISE * rng.normal())
                counts = resample_counts(200, draws, rng)
                log_tau = extended(criterion.cross(tau, fractions(memorising(tau, tau_mem, rng), counts)))
                low, high = interval(log_tau, 0.95)
                own.append((low or 0) <= tau_mem <= (high or math.inf))
                drawn.append(log_tau)
            low, high = interval(median(resample_seeds(np.stack(drawn), rng)), 0.95)
            middle.append((low or 0) <= 1000 <= (high or math.inf))
        print(f"| {seeds} | {np.mean(own):.1%} | {np.mean(middle):.1%} |", flush=True)


def collapse(studies, draws=100):
    print("\n| seeds | coverage of the collapse exponent | mean |")
    print("|---|---|---|")
    rng = np.random.default_rng(5)
    tau = np.unique(np.round(np.geomspace(30, 20_000, 24)).astype(np.int64))
    for seeds in (2, 3, 5):
        hits, best = [], []
        sizes = np.repeat(SIZES, seeds)
        for _ in range(studies):
            f = [memorising(tau, 20 * n * math.exp(NOISE * rng.normal()), rng).mean(axis=1) for n in sizes]
            points = Points(
                np.tile(np.log(tau), len(sizes)),
                np.repeat(np.log(sizes), len(tau)),
                np.concatenate(f),
                np.repeat(np.arange(len(sizes)), len(tau)),
            )
            best.append(best_exponent(points))
            drawn = [best_exponent(resampled(points, sizes, rng), near=best[-1]) for _ in range(draws)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            hits.append(low <= 1 <= high)
        print(f"| {seeds} | {np.mean(hits):.0%} | {np.mean(best):.3f} |", flush=True)


def boundary(studies):
    print("\n| steepness | sizes | coverage | open on a side | median factor |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(1)
    for steepness in (3, 8, 20, None):  # None: as it is assumed beforehand
        for sizes in ((5, 10, 20, 40), DENSE):
            hits, widths, opened = [], [], 0
            for _ in range(studies):
                middle = rng.uniform(math.log(sizes[0] * 1.2), math.log(sizes[-1] / 1.2))
                slope = steepness or math.exp(rng.uniform(math.log(1.5), math.log(60)))
                outcomes = [
                    DecidedRun(n, bool(rng.random() < 1 / (1 + math.exp(slope * (math.log(n) - middle)))))
                    for n in sizes
                    for _ in range(2)
                ]
                _, low, high = BoundaryPosterior.of(outcomes).interval(0.95)
                hits.append(
                    (low is None or math.log(low) <= middle) and (high is None or middle <= math.log(high))
                )
                opened += low is None or high is None
                if low is not None and high is not None:
                    widths.append(high / low)
            print(
                f"| {steepness or '1.5 … 60'} | {len(sizes)} × 2 | {np.mean(hits):.1%} | {opened / studies:.0%} | "
                f"{np.median(widths):.2f} |",
                flush=True,
            )


def line(studies):
    print("\n| planted n* | largest tau | coverage | bounded above |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(2)
    for n_star, budget in ((30, 2000), (30, 10_000), (30, 100_000), (math.inf, 600), (math.inf, 1500)):
        hits, bounded = [], 0
        for _ in range(studies):
            runs = []
            for n in DENSE:
                for seed in range(2):
                    tau = (
                        30 * n / (1 - n / n_star) * math.exp(NOISE * rng.normal()) if n < n_star else math.inf
                    )
                    late = Crossing(None, "right", budget)
                    runs.append(
                        Crossed(
                            f"{n}-{seed}", n, 16, "", Crossing(tau, None, None) if tau <= budget else late
                        )
                    )
            limit = fit_limit(runs, 0.95)
            hits.append((limit.low or 0) <= n_star <= (limit.high or math.inf))
            bounded += limit.high is not None
        print(f"| {n_star} | {budget:,} | {np.mean(hits):.0%} | {bounded / studies:.0%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    laws(studies, studies // 10)
    width_laws(studies // 2)
    timescales(studies // 4)
    boundary(studies)
    line(studies // 4)
    collapse(studies // 10)


if __name__ == "__main__":
    main()
