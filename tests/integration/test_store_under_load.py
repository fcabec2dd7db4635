"""Sixteen processes write at once and take each other's runs over, while one compacts and one reads.

`TAUSWEEP_WRITE_SECONDS` says for how long (5 by default). What the writers say was acknowledged is compared with what
is read in the end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tausweep.storage.files.records import write_record
from tausweep.storage.layout import StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.maintenance.verification import check
from tausweep.storage.tables.scan import read_table
from tests.integration.store_load import begin_together, compact_again_and_again, value_of, write

pytestmark = pytest.mark.slow

WRITERS, RUN_IDS = 16, [digit * 20 for digit in "0123456789"]
SECONDS = float(os.environ.get("TAUSWEEP_WRITE_SECONDS", "5"))


def rows_that_count(lines: Iterable[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """The attempt rule word by word, over what was acknowledged."""
    resumed: dict[str, dict[int, int]] = defaultdict(dict)
    published: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line in lines:
        if "resumed" in line:
            resumed[line["run"]][line["attempt"]] = line["resumed"]
        else:
            published[line["run"], line["attempt"]] += line["taus"]
    kept = {}
    for (run_id, attempt), taus in sorted(published.items()):
        cut = min((tau for later, tau in resumed[run_id].items() if later > attempt), default=max(taus))
        kept |= {(run_id, tau): value_of(attempt, tau) for tau in taus if tau <= cut}
    return kept


def read(store: StoreLayout) -> dict[tuple[str, int], float]:
    """All rows; none is there twice, and each has the value that its attempt measured."""
    rows = read_table(store, "metrics").to_pylist()
    found = {(row["run_id"], row["tau"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    assert all(row["value"] == value_of(row["attempt"], row["tau"]) for row in rows)
    return found


def test_nothing_is_lost_and_nothing_doubled_while_sixteen_processes_write(
    tmp_path: Path, record_property: Any
) -> None:
    store = StoreLayout(tmp_path / "store")
    for run_id in RUN_IDS:
        write_record(store.run(run_id).spec, {"run_id": run_id, "p": 1, "settings": {}})
    said = [tmp_path / f"{seed}.jsonl" for seed in range(WRITERS + 1)]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(len(said) + 1)
    roles = [*[write] * WRITERS, compact_again_and_again]
    processes = [
        spawn.Process(
            target=begin_together, args=(role, store.root, SECONDS, seed, said[seed], barrier), daemon=True
        )
        for seed, role in enumerate(roles)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    reads = 0
    while any(process.is_alive() for process in processes):
        read(store)
        reads += 1
    assert [process.exitcode for process in processes] == [0] * len(processes)

    *written, merged = [[json.loads(line) for line in file.read_text().splitlines()] for file in said]
    lines = list(chain(*written))
    expected = rows_that_count(lines)
    assert read(store) == expected
    compact(store)
    assert read(store) == expected
    assert {finding.kind for finding in check(store, lambda run_id, settings: None)} <= {"stale claim"}

    parts = [line for line in lines if "taus" in line]
    counts = {
        "parts acknowledged": len(parts),
        "rows acknowledged": sum(len(line["taus"]) for line in parts),
        "rows that count": len(expected),
        "attempts": len(lines) - len(parts),
        "merged files": sum(line["files"] for line in merged),
        "parts removed": sum(line["parts"] for line in merged),
        "reads": reads,
    }
    print(counts)
    record_property("load", counts)
    assert counts["attempts"] > len(RUN_IDS), "no run was taken over"
