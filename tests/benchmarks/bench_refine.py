"""Refining against the full grid: the same boundary from a quarter of the training steps?

Replays the recorded grid of data/boundary-grid.json (12 n × 2 W × 2 seeds of 1,000 steps, trained once from
data/boundary-grid.yaml). Refining begins with the smallest and the largest n of each W and asks for one run after the other,
or for one of each W a round as `--auto` does; a proposed n is answered by the nearest recorded one whose seeds are not used
up. The alternative is the grid that a person would make of as many runs: n evenly spaced in ln n. Which seed answers is
drawn anew in every replay.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from tausweep.orchestrator.analysis.criteria.crossing import crossing
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.statistics.boundary_posterior import BoundaryPosterior, DecidedRun
from tausweep.orchestrator.refinement.proposals import propose

GRID = Path(__file__).parent / "data" / "boundary-grid.json"
Recorded = dict[
    tuple[int, int], list[float]
]  # (W, n) → tau_mem of each seed, infinite where it did not cross


def recorded() -> tuple[Recorded, int]:
    """The grid's crossings, and the steps of each run."""
    found: Recorded = defaultdict(list)
    runs = json.loads(GRID.read_text())["runs"]
    for run in runs:
        one = crossing(MemorisedFraction(), np.array(run["tau"]), np.array(run["f_mem"]))
        late = math.inf if one.censored == "right" else run["tau"][0]
        found[run["W"], run["n"]].append(one.tau if one.tau is not None else late)
    return dict(found), max(run["tau"][-1] for run in runs)


class Replay:
    """Answers runs from the record, each seed once."""

    def __init__(self, grid: Recorded, budget: int, rng: random.Random) -> None:
        self.left = {key: rng.sample(taus, len(taus)) for key, taus in grid.items()}
        self.budget = budget
        self.outcomes: dict[int, list[DecidedRun]] = defaultdict(list)
        self.steps = self.steps_stopped = 0.0

    def run(self, W: int, n: float) -> None:
        able = [size for (width, size), taus in self.left.items() if width == W and taus]
        size = min(able, key=lambda candidate: abs(math.log(candidate / n)))
        tau = self.left[W, size].pop()
        self.outcomes[W].append(DecidedRun(size, tau <= self.budget))
        self.steps += self.budget
        self.steps_stopped += min(tau, self.budget)


def refined(grid: Recorded, budget: int, rng: random.Random, runs: int, batch: int = 1) -> Replay:
    replay = Replay(grid, budget, rng)
    widths, sizes = sorted({W for W, _ in grid}), sorted({n for _, n in grid})
    for W in widths:
        replay.run(W, sizes[0])
        replay.run(W, sizes[-1])
    while sum(map(len, replay.outcomes.values())) < runs:
        known = {
            Condition(W=W, optimizer="adam", batch="min(512, n)"): BoundaryPosterior.of(found)
            for W, found in replay.outcomes.items()
        }
        for proposal in propose(known, batch, largest_n=sizes[-1]):
            replay.run(proposal.condition.W, proposal.n)
    return replay


def evenly(grid: Recorded, budget: int, rng: random.Random, runs: int) -> Replay:
    replay = Replay(grid, budget, rng)
    widths, sizes = sorted({W for W, _ in grid}), sorted({n for _, n in grid})
    for W in widths:
        for n in np.geomspace(sizes[0], sizes[-1], runs // len(widths)):
            replay.run(W, n)
    return replay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=200)
    replays = parser.parse_args().replays
    grid, budget = recorded()
    total = sum(map(len, grid.values()))
    widths = sorted({W for W, _ in grid})
    whole = {
        W: BoundaryPosterior.of(
            [DecidedRun(n, tau <= budget) for (w, n), taus in grid.items() if w == W for tau in taus]
        )
        for W in widths
    }
    print(f"full grid: {total} runs of {budget} steps")
    for W, found in whole.items():
        low, middle, high = (found.quantile(q) for q in (0.025, 0.5, 0.975))
        print(f"  W = {W}: n* = {middle:.1f} [{low:.1f}, {high:.1f}], factor {found.width:.2f}")
    print(
        "| runs | steps, of the grid's | by | n* in the grid's interval | both | the grid's n* in its interval | "
        "median factor of the interval | steps with early stop |"
    )
    print("|---|---|---|---|---|---|---|---|")
    methods = (("refine", refined), ("refine, two a round", partial(refined, batch=2)), ("even grid", evenly))
    for runs in (8, 12):
        for name, method in methods:
            print_row(
                name,
                [method(grid, budget, random.Random(seed), runs) for seed in range(replays)],
                whole,
                total,
            )


def print_row(name: str, replays: list[Replay], whole: dict[int, BoundaryPosterior], total: int) -> None:
    """How well replays of as many runs find the boundary of all runs, of which there are `total`."""
    inside, holding, factors = [], [], []
    for replay in replays:
        found = {W: BoundaryPosterior.of(replay.outcomes[W]) for W in whole}
        inside.append([_holds(whole[W], found[W].quantile(0.5)) for W in whole])
        holding.append([_holds(found[W], whole[W].quantile(0.5)) for W in whole])
        factors.append([found[W].width for W in whole])
    runs = sum(map(len, replays[0].outcomes.values()))
    each = ", ".join(f"W = {W}: {share:.0%}" for W, share in zip(whole, np.mean(inside, axis=0), strict=True))
    stopped = np.mean([replay.steps_stopped / (total * replay.budget) for replay in replays])
    print(
        f"| {runs} | {runs / total:.2f} | {name} | {each} | {np.mean(np.all(inside, axis=1)):.0%} | "
        f"{np.mean(holding):.0%} | {np.median(factors):.2f} | {stopped:.2f} |"
    )


def _holds(posterior: BoundaryPosterior, n_star: float) -> bool:
    return posterior.quantile(0.025) <= n_star <= posterior.quantile(0.975)


if __name__ == "__main__":
    main()
