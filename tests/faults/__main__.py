"""`make faults`: many kills and each other fault, and the table of them in docs/reliability.md and docs/faults.json.

FAULT_KILLS (100), FAULT_SEED (a random one) and FAULT_SECONDS (no limit: no further store is begun after so long) are
read from the environment. Exit code 1 if anything differs from what is expected.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kills import Campaign, Kill, kinds
from tests.faults.scenarios import SCENARIOS
from tests.faults.sweeps import Science, undisturbed
from tests.faults.table import Row, Store, write
from tests.integration.tiny_sweep import science

KILLS_A_STORE = 5


def main() -> int:
    """Inflict, compare, write."""
    count = int(os.environ.get("FAULT_KILLS", "100"))
    seed = int(os.environ.get("FAULT_SEED", str(random.randrange(10**6))))
    seconds = float(os.environ.get("FAULT_SECONDS", "inf"))
    print(f"FAULT_KILLS={count} FAULT_SEED={seed}", flush=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="tausweep-faults-"))
    quiet = {ranks: undisturbed(folder / f"{ranks} ranks", processes=ranks) for ranks in (1, 2)}
    rows = [_scenario(name, folder, quiet[1]) for name in SCENARIOS]
    expected = {ranks: science(store) for ranks, store in quiet.items()}
    stores = _kill(count, random.Random(seed), folder, expected, deadline=began + seconds)
    write(stores, rows, seed=seed, seconds=time.monotonic() - began)
    wrong = [store for store in stores if store.wrong] + [row for row in rows if row.wrong]
    if not wrong:
        shutil.rmtree(folder)
    print(
        f"{sum(len(store.kills) for store in stores)} kills, {len(stores)} stores, {len(wrong)} not as expected"
    )
    return 1 if wrong else 0


def _scenario(name: str, folder: Path, undisturbed: Path) -> Row:
    fault, expected, run = SCENARIOS[name]
    try:
        seen, wrong = run(folder / name, undisturbed), None
    except AssertionError as error:
        seen, wrong = "not as expected", str(error)
    print(f"{name}: {seen} {wrong or ''}", flush=True)
    return Row(fault=fault, expected=expected, seen=seen, wrong=wrong)


def _kill(
    count: int, generator: random.Random, folder: Path, expected: dict[int, Science], *, deadline: float
) -> list[Store]:
    """Inflict kills on one store after another, all kinds equally often, in random order."""
    stores: list[Store] = []
    todo: list[Kill] = []
    while len(todo) < count:
        todo += generator.sample(kinds(), len(kinds()))
    todo = todo[:count]
    while todo and time.monotonic() < deadline:
        ranks = todo[0].processes
        campaign = Campaign(folder / f"store {len(stores)}", generator, processes=ranks)
        kills = [kill for kill in todo if kill.processes == ranks][:KILLS_A_STORE]
        try:
            all(campaign.inflict(kill) for kill in kills)  # until it is complete
            wrong = campaign.finish(expected[ranks])
        except (AssertionError, subprocess.TimeoutExpired) as error:
            wrong = [str(error) or type(error).__name__]
            campaign.abandon()
        for kill in campaign.kills:
            todo.remove(kill)
        stores.append(Store(kills=campaign.kills, wrong=wrong))
        print(
            f"store {len(stores)}: {len(campaign.kills)} kills, {wrong or 'equal'}; {len(todo)} left",
            flush=True,
        )
    return stores


if __name__ == "__main__":
    sys.exit(main())
