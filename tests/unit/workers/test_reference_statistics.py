"""Statistics of held-out images in the store: whole or not there, whoever writes them."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from tausweep.jobs.quality.frechet import Gaussian
from tausweep.storage.errors import CorruptFileError
from tausweep.workers import reference_statistics
from tausweep.workers.reference_statistics import StoredStatistics

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    monkeypatch.setattr(reference_statistics, "_recent", type(reference_statistics._recent)())


def gaussian(seed=0):
    return Gaussian.of(np.random.default_rng(seed).normal(size=(30, 12)))


def forget():
    reference_statistics._recent.clear()


def test_what_was_saved_is_loaded_to_the_bit_by_another_process(store):
    StoredStatistics(store).save(KEY, gaussian())
    forget()
    found = StoredStatistics(store).load(KEY)
    np.testing.assert_array_equal(found.mean, gaussian().mean)
    np.testing.assert_array_equal(found.factor, gaussian().factor)
    assert store.explains(store.statistics(KEY))


def test_nothing_is_there_before(store):
    assert StoredStatistics(store).load(KEY) is None


def test_this_process_reads_a_file_once(store):
    StoredStatistics(store).save(KEY, gaussian())
    forget()
    first = StoredStatistics(store).load(KEY)
    store.statistics(KEY).unlink()
    assert StoredStatistics(store).load(KEY) is first


def test_only_the_last_are_kept_in_memory(store):
    keys = [f"{i:032x}" for i in range(reference_statistics._KEPT + 1)]
    for key in keys:
        StoredStatistics(store).save(key, gaussian())
    assert list(reference_statistics._recent) == keys[1:]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-40], lambda whole: b"", lambda whole: b"text"])
def test_a_damaged_file_is_named_and_not_believed(store, damage):
    StoredStatistics(store).save(KEY, gaussian())
    forget()
    path = store.statistics(KEY)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptFileError, match=f"{KEY}.*remove it"):
        StoredStatistics(store).load(KEY)


def _write_and_read(store, barrier, done):
    kept = StoredStatistics(store)
    barrier.wait()
    for _ in range(20):
        kept.save(KEY, gaussian())
        forget()
        found = kept.load(KEY)
        assert np.array_equal(found.factor, gaussian().factor)
    done.put(True)


def test_two_workers_may_write_at_once(store):
    context = multiprocessing.get_context("spawn")
    barrier, done = context.Barrier(2), context.Queue()
    writers = [context.Process(target=_write_and_read, args=(store, barrier, done)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [path.name for path in store.features.iterdir()] == [store.statistics(KEY).name]
