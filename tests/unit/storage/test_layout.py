"""Where files lie in a store, and what their names mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.storage.layout import TABLES, PartName, StoreLayout

RUN_ID = "0123456789abcdef0123"


def put(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@given(attempt=st.integers(1, 10**9), seq=st.integers(0, 10**9))
def test_a_part_name_reads_back_as_it_was_written(attempt, seq):
    name = PartName(attempt=attempt, seq=seq)
    assert PartName.parse(str(name)) == name


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "1-0.parquet",
        "1-000000.parquet.tmp",
        ".1-000000.parquet.tmp",
        "0-000000.parquet",
        "01-000000.parquet",
        "a-000000.parquet",
        "1-000000.csv",
        "1-000000.PARQUET",
        "1-000000",
        "1-000000.parquet\n",
        "²-000000.parquet",
        "٣-000000.parquet",
        "1-0000001.parquet",
        "-1-000000.parquet",
    ],
)
def test_any_other_name_is_no_part(foreign):
    assert PartName.parse(foreign) is None


def test_parts_are_listed_in_the_order_they_were_written(store):
    run = store.run(RUN_ID)
    names = [PartName(attempt=a, seq=s) for a, s in [(10, 0), (2, 1), (2, 0), (1, 1_000_000), (1, 999_999)]]
    for name in names:
        put(run.part("metrics", name))
    assert [str(f.name) for f in run.parts("metrics")] == [
        "1-999999.parquet",
        "1-1000000.parquet",
        "2-000000.parquet",
        "2-000001.parquet",
        "10-000000.parquet",
    ]


def test_attempts_are_ordered_as_numbers(store):
    run = store.run(RUN_ID)
    for number in (10, 9, 1):
        put(run.attempt(number))
    assert run.attempt_numbers() == [1, 9, 10]


def test_checkpoints_are_ordered_as_numbers(store):
    run = store.run(RUN_ID)
    for tau in (100, 20, 0):
        put(run.checkpoint(tau))
        put(run.checkpoint_digest(tau))
    assert run.checkpoint_taus() == [0, 20, 100]


def test_foreign_files_among_attempts_and_checkpoints_are_not_counted(store):
    run = store.run(RUN_ID)
    for name in ("²", "٣", "007", "-1", "1 (copy)", ".1", "1.0", ""):
        put(run.attempts / f"{name}.json")
        put(run.checkpoints / f"{name}.pt")
    assert run.attempt_numbers() == run.checkpoint_taus() == []


def test_temporary_files_are_never_listed(store):
    run = store.run(RUN_ID)
    targets = [run.attempt(1), run.checkpoint(1), run.part("metrics", PartName(attempt=1, seq=0))]
    for target in [*targets, store.sweep("a"), store.job("a-1")]:
        put(target.parent / f".{target.name}.1a2b3c4d.tmp")
    found = [run.attempt_numbers(), run.checkpoint_taus(), run.parts("metrics")]
    assert [*found, store.sweep_names(), store.job_ids()] == [[], [], [], [], []]


def test_only_directories_named_by_an_id_are_runs(store):
    for name in (RUN_ID, RUN_ID[:-1], RUN_ID + "0", RUN_ID.upper(), ".DS_Store", "g" * 20):
        put(store.run(name).spec)
    assert store.run_ids() == [RUN_ID]


def test_names_with_dots_read_back_whole(store):
    put(store.sweep("celeba.v1.2"))
    put(store.job("celeba.v1.2-abc"))
    put(store.job_runs("celeba.v1.2-abc"))
    assert (store.sweep_names(), store.job_ids()) == (["celeba.v1.2"], ["celeba.v1.2-abc"])


def test_records_of_image_sets_are_listed_and_explained(store):
    for name in ("b.1", "a"):
        put(store.image_set(name, 32, "grey"))
    assert store.image_sets() == [store.image_set("a", 32, "grey"), store.image_set("b.1", 32, "grey")]
    put(store.labels("0a"))
    assert all(store.explains(path) for path in (*store.image_sets(), store.labels("0a")))


def test_an_absent_store_is_an_empty_one(store):
    assert store.image_sets() == []
    assert (store.run_ids(), store.sweep_names(), store.job_ids()) == ([], [], [])
    assert store.run(RUN_ID).attempt_numbers() == store.run(RUN_ID).parts("metrics") == []


def test_asking_for_a_path_makes_nothing(store):
    run = store.run(RUN_ID)
    _ = (run.spec, run.claim, run.cancel, run.log(1), run.checkpoint(1), run.parts("metrics"))
    _ = (store.sweep("a"), store.job_log("a"), store.images("f"), store.images_index("k"), store.figures("a"))
    assert not store.root.exists()


@pytest.mark.parametrize("folder", ["plain", "with space", "ünï-çødé-数据", "a'b\"c", "100%", "[x]*?"])
def test_a_run_directory_leads_back_to_its_store(tmp_path, folder):
    store = StoreLayout(tmp_path / folder)
    put(store.run(RUN_ID).spec)
    assert store.run(RUN_ID).store == store
    assert store.run_ids() == [RUN_ID]


def test_no_two_things_share_a_path(store):
    run = store.run(RUN_ID)
    of_run = [run.spec, run.claim, run.cancel, run.attempt(1), run.log(1), run.checkpoint(1)]
    of_run += [run.checkpoint_digest(1), *(run.part(t, PartName(attempt=1, seq=1)) for t in TABLES)]
    of_store = [store.sweep("a"), store.job("a"), store.job_runs("a"), store.job_log("a"), store.images("a")]
    of_store += [
        store.labels("a"),
        store.image_set("a", 32, "grey"),
        store.images_index("a"),
        store.figures("a"),
        run.path,
    ]
    assert len(set(of_run + of_store)) == len(of_run + of_store)
    assert all(path.is_relative_to(run.path) for path in of_run)
