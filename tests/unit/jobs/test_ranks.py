"""How work is shared between ranks, and the dropout that does not depend on it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tausweep.jobs.ranks import BatchDropout, Ranks, share_dropout


def ranks(size: int) -> list[Ranks]:
    found = [Ranks() for _ in range(size)]
    for number, one in enumerate(found):
        one.rank, one.size = number, size
    return found


@given(size=st.integers(1, 9), count=st.integers(0, 40))
def test_shares_are_all_things_once_and_in_order(size: int, count: int) -> None:
    assert [i for one in ranks(size) for i in range(count)[one.share(count)]] == list(range(count))
    assert [ranks(size)[0].share(count, r) for r in range(size)] == [one.share(count) for one in ranks(size)]


@given(size=st.integers(1, 9), batch=st.integers(1, 40))
def test_a_rank_computes_its_share_and_at_least_two_rows_where_there_are_two(size: int, batch: int) -> None:
    for one in ranks(size):
        rows, share = range(batch)[one.rows(batch)], range(batch)[one.share(batch)]
        assert set(share) <= set(rows)
        assert len(rows) == max(len(share), min(2, batch))


def test_one_process_alone_computes_everything_and_changes_nothing() -> None:
    alone, losses, network = Ranks(), torch.rand(5), nn.Linear(2, 2)
    assert alone.rows(5) == slice(0, 5)
    assert alone.wrap(network, 5) is network
    assert torch.equal(alone.mean(losses, 5), losses.mean())
    assert alone.gather(losses, 5) is alone.average(losses) is alone.broadcast(losses) is losses
    assert alone.agree(True, False) == (True, False)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_masks_are_those_of_one_process(memory_format: torch.memory_format) -> None:
    x = torch.randn(7, 3, 4, 4).contiguous(memory_format=memory_format)
    torch.manual_seed(5)
    whole = nn.Dropout(0.4)(x)
    for one in ranks(3):
        rows = one.rows(7)
        torch.manual_seed(5)
        assert torch.equal(BatchDropout(0.4, rows, 7)(x[rows]), whole[rows])


def test_dropout_is_replaced_wherever_it_drops_and_does_nothing_in_evaluation() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1), nn.Dropout(0.0)))
    share_dropout(network, slice(0, 2), 4)
    assert [type(module) for module in network.modules() if not list(module.children())] == [
        BatchDropout,
        nn.Linear,
        BatchDropout,
        nn.Dropout,
    ]
    x = torch.ones(2, 3)
    assert torch.equal(BatchDropout(0.5, slice(0, 2), 4).eval()(x), x)
