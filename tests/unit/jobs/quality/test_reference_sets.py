"""Reference sets: disjoint, keyed by all that matters, extracted once, shared by ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tausweep.jobs.quality.extractors import build_extractor
from tausweep.jobs.quality.frechet import Gaussian
from tausweep.jobs.quality.reference_sets import extract, reference_sets, reference_statistics, statistics_key
from tausweep.jobs.ranks import Ranks

CPU = torch.device("cpu")


class Kept(dict):
    """A store in memory that counts."""

    def load(self, key):
        return self.get(key)

    def save(self, key, found):
        assert key not in self
        self[key] = found


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 1, 8, 8), dtype=np.uint8)


@pytest.fixture
def extractor():
    return build_extractor("random_conv", None, CPU)


@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_sets_are_disjoint_and_of_one_size(images, count):
    images[:, 0, 0, 0] = np.arange(23)
    members = [set(part[:, 0, 0, 0].tolist()) for part in reference_sets(images, count)]
    assert [len(part) for part in members] == [23 // count] * count
    assert len(set.union(*members)) == count * (23 // count)


def test_what_the_store_has_is_not_extracted_again(images, extractor):
    store = Kept()
    first = reference_statistics(images, extractor, store, CPU, Ranks())
    expected = Gaussian.of(extractor(images, CPU).numpy())
    np.testing.assert_array_equal(first.factor, expected.factor)
    broken = replace(extractor, network=None)  # would raise if it were called
    again = reference_statistics(images, broken, store, CPU, Ranks())
    np.testing.assert_array_equal(again.mean, first.mean)
    np.testing.assert_array_equal(again.factor, first.factor)
    assert len(store) == 1


def test_a_key_names_all_that_the_statistics_depend_on(images, extractor):
    other = images.copy()
    other[3, 0, 2, 2] ^= 1
    keys = {
        statistics_key(images, extractor),
        statistics_key(other, extractor),
        statistics_key(images[::-1], extractor),
        statistics_key(images.reshape(23, 1, 4, 16), extractor),
        statistics_key(images, replace(extractor, digest="0")),
        statistics_key(images, replace(extractor, name="inception")),
    }
    assert len(keys) == 6
    assert statistics_key(images.copy(), extractor) == statistics_key(images, extractor)


class OneOf(Ranks):
    """One rank of several that puts down what it extracted."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size
        self.shares = []

    def gather(self, share, count):
        self.shares.append(share)
        return share


@pytest.mark.parametrize("size", [2, 3, 30])
def test_ranks_extract_their_shares(images, extractor, size):
    counted = []
    ranks = [OneOf(rank, size) for rank in range(size)]
    for rank in ranks:
        extract(images, lambda part, device: counted.append(len(part)) or extractor(part, device), CPU, rank)
    found = torch.cat([rank.shares[0] for rank in ranks])
    torch.testing.assert_close(found, extractor(images, CPU))
    assert max(counted) <= -(-len(images) // size)
