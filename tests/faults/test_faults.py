"""A short selection of the faults; `make faults` inflicts all of them, and many more kills."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.sql import query
from tests.faults.kills import Campaign, Kill
from tests.faults.scenarios import SCENARIOS, small_disk
from tests.faults.sweeps import undisturbed
from tests.faults.table import Row, Store, markdown, summary
from tests.integration.tiny_sweep import science

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that nothing disturbed."""
    return undisturbed(tmp_path_factory.mktemp("quiet"))


def test_kills_at_an_instant_and_inside_writes_leave_a_store_equal_to_the_undisturbed_one(
    quiet: Path, tmp_path: Path
) -> None:
    campaign = Campaign(tmp_path / "killed", random.Random(0))
    kills = [
        Kill(victim="whoever comes first", where="before_rename, checkpoint"),
        Kill(victim="whoever comes first", where="before_fsync, part"),
        Kill(victim="all"),
    ]
    inflicted = [campaign.inflict(kill) for kill in kills]
    assert inflicted[0]
    assert campaign.finish(science(quiet)) == []
    lost = "SELECT count(*) AS lost FROM attempts WHERE failure = 'lost_worker'"
    assert query(StoreLayout(campaign.store), lost).to_pylist()[0]["lost"] >= 1


@pytest.mark.parametrize("name", ["disk", "permission", "newest checkpoint", "part", "2 orchestrators"])
def test_other_faults_end_as_expected(quiet: Path, tmp_path: Path, name: str) -> None:
    if name == "disk" and not can_mount(tmp_path / "probe"):
        pytest.skip("no tmpfs can be mounted: not root, or not allowed to")
    assert SCENARIOS[name][2](tmp_path / "faulty", quiet)


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder):
            return True
    except PermissionError:
        return False


def test_the_table_counts_kills_by_kind_and_in_how_many_equal_stores_they_were() -> None:
    kill = Kill(victim="worker")
    stores = [Store(kills=[kill, kill], wrong=[]), Store(kills=[kill], wrong=["metrics: not equal"])]
    rows = [Row(fault="f", expected="e", seen="s", wrong=None)]
    record = summary(stores, rows, seed=1, seconds=60)
    assert (record["kills"], record["stores"], record["equal_stores"]) == (3, 2, 1)
    assert record["differences"] == ["metrics: not equal"]
    assert "| SIGKILL of worker | any instant | 3 | 2 |\n" in markdown(record)
    assert "| f | e | s |\n" in markdown(record)
