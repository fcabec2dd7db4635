"""Do the 95 % intervals hold what was planted in 93 to 97 % of studies? Simulations of every kind of interval.

Laws: log-normal tau = 20·n about a power law, n = 16, 32, 64, 128, so many seeds, a budget that censors a share of the runs;
a hit is an exponent of 1 within the profile-likelihood interval. Against it, what one would do without a censored regression:
drop the censored runs and take the percentiles of a bootstrap over seeds. Laws over widths: tau ∝ n·W^−0.5, by `fit_law`
itself, censored on either side. Timescales: 200 samples whose onsets are logistic in ln tau, the run's own tau_mem for the
interval of a run, the median over all seeds for that of an n. Boundary: outcomes drawn from a logistic curve in ln n. Claims: how
often a line is called converged that was not planted. Line: tau = (400 +) 25·n/(1 − n/100). Collapse: the study of the timescales at four n.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import Crossing, extended
from tausweep.orchestrator.analysis.criteria.first_crossing import RIGHT
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.laws.architectural_line import lines
from tausweep.orchestrator.analysis.laws.collapse import Points, best_exponent, resampled
from tausweep.orchestrator.analysis.laws.competing.competition import WITH_LINE as FLOORED_LINE
from tausweep.orchestrator.analysis.laws.competing.competition import compete
from tausweep.orchestrator.analysis.laws.power_laws import Crossed, fit_law
from tausweep.orchestrator.analysis.runs.results import RunTimescales
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
FINER = (5, 10, 20, 30, 40, 60, 80, 95, 110, 160, 320)
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


class Planted(NamedTuple):
    """A law of tau(n) without noise, and the n, budget and noise of its studies."""

    words: str
    tau: Callable[[int], float]
    budget: float
    noise: float
    n_star: float = math.inf


DOUBLING = (5, 10, 20, 40, 80, 160, 320, 640)


def with_line(tau_0, n_star=100, c=25):
    return lambda n: tau_0 + c * n / (1 - n / n_star) if n < n_star else math.inf


WITHOUT_LINE = [
    Planted(words, tau, budget, noise)
    for words, tau in (
        ("25·n", lambda n: 25 * n),
        ("4·n^1.5", lambda n: 4 * n**1.5),
        ("400 + 25·n", lambda n: 400 + 25 * n),
        ("400 + 4·n^1.5", lambda n: 400 + 4 * n**1.5),
    )
    for budget in (math.inf, 5000)
    for noise in (0.06, 0.12)
]
WITH_LINE = [
    Planted(f"{f'{tau_0} + ' * bool(tau_0)}25·n/(1 − n/100)", with_line(tau_0), budget, noise, 100)
    for tau_0 in (0, 400)
    for budget in (10_000, 40_000)
    for noise in (0.06, 0.12)
]


def planted_runs(planted, rng, seeds=2, sizes=DOUBLING):
    """Runs of one condition as the resolver has them; without a budget, each is trained until it crosses."""
    runs = []
    for seed in range(seeds):
        for n in sizes:
            tau = planted.tau(n) * math.exp(planted.noise * rng.standard_normal())
            last = round(planted.budget if planted.budget < math.inf else 2 * planted.tau(max(sizes)))
            seen = Crossing(tau, None, None) if tau <= last else Crossing(None, "right", last)
            runs.append(
                RunTimescales(W=16, p=1, optimizer="adam", batch="n", settings={}, run_id=f"{n}-{seed}", state="succeeded",
                              n=n, seed=seed, subset=0, budget=last, crossings={"f_mem": seen})
            )  # fmt: skip
    return runs


def judged(planted, rng, sizes=DOUBLING):
    """The line that the resolver reads from one study, and n* of the law with a line and a floor."""
    runs = planted_runs(planted, rng, sizes=sizes)
    competition = compete(runs, "f_mem", "", 0.95, only="n_star")
    (end,) = lines(runs, "f_mem", [competition], 0.95)
    law = next(law for law in competition.laws if law.law == FLOORED_LINE)
    return end, law.parameters.get("n_star")


def claims(studies):
    print("\n| planted, no line | budget | noise | called converged | law without a line rejected |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(6)
    for planted in WITHOUT_LINE:
        ends = [judged(planted, rng)[0] for _ in range(studies)]
        false = np.mean([end.converged for end in ends])
        bounded = np.mean([end.n_star.high is not None for end in ends])
        print(
            f"| {planted.words} | {planted.budget:,} | {planted.noise:.0%} | {false:.1%} | {bounded:.1%} |",
            flush=True,
        )


def line(studies):
    print(
        "\n| planted, n\\* = 100 | n | budget | noise | coverage of n\\* | called converged | of these, n\\* held |"
    )
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(2)
    for planted in WITH_LINE:
        for sizes in (DOUBLING, FINER):
            hits, converged = [], []
            for _ in range(studies):
                end, n_star = judged(planted, rng, sizes)
                if n_star is None:
                    continue
                hits.append(holds(n_star, planted.n_star))
                if end.converged:
                    converged.append(holds(end.n_star, planted.n_star))
            held = f"{np.mean(converged):.1%}" if converged else "–"
            print(
                f"| {planted.words} | {len(sizes)} | {planted.budget:,} | {planted.noise:.0%} | {np.mean(hits):.1%} | "
                f"{len(converged) / studies:.0%} | {held} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    tables = {
        "laws": lambda studies: laws(studies, studies // 10),
        "width_laws": lambda studies: width_laws(studies // 2),
        "timescales": lambda studies: timescales(studies // 4),
        "boundary": boundary,
        "claims": lambda studies: claims(studies // 4),
        "line": lambda studies: line(studies // 4),
        "collapse": lambda studies: collapse(studies // 10),
    }
    parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables))
    arguments = parser.parse_args()
    for name in arguments.tables:
        tables[name](arguments.studies)


if __name__ == "__main__":
    main()
