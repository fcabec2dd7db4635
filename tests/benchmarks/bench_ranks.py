"""Steps a second of one run with one process and with two, one thread each, and what agreeing on a stop costs a step.

    python -m tests.benchmarks.bench_ranks

It starts itself under torchrun for the second column. Two free cores are needed for numbers that mean anything.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import torch

from tausweep.jobs.data.digits import digits
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.training.loop import train
from tausweep.workers.ranks.process_group import GroupRanks, Place, find_store
from tests.benchmarks.bench_training import STEPS, Clock, spec

SIZES = [(8, 8), (16, 64), (32, 64), (32, 256)]
CPU = torch.device("cpu")
ROUNDS = 3


def speeds(ranks: Ranks) -> list[float]:
    found = []
    for width, n in SIZES:
        rounds = []
        for _ in range(ROUNDS):
            clock = Clock()
            train(spec(n, width), digits(), clock, CPU, ranks)
            rounds.append(clock.speed())
        found.append(statistics.median(rounds))
    return found


def agreement_microseconds(ranks: Ranks, count: int = 2000) -> float:
    started = time.perf_counter()
    for _ in range(count):
        ranks.agree(False, False)
    return (time.perf_counter() - started) / count * 1e6


def main() -> None:
    torch.set_num_threads(1)
    place = Place.from_environment(os.environ)
    ranks = Ranks() if place is None else GroupRanks(place, find_store(place), CPU, 300)
    found = speeds(ranks)
    cost = agreement_microseconds(ranks)
    if ranks.rank == 0:
        print(
            f"processes: {ranks.size}; to agree on a stop: {cost:.0f} µs a step; {STEPS} steps, {ROUNDS} rounds"
        )
        for (width, n), speed in zip(SIZES, found, strict=True):
            print(f"  W = {width:>3}, batch {n:>4}: {speed:8.1f} steps/s", flush=True)
    if place is None:
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        subprocess.run([sys.executable, *torchrun, "-m", "tests.benchmarks.bench_ranks"], check=True)


if __name__ == "__main__":
    main()
