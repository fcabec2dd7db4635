"""What a record says of an exception."""

from __future__ import annotations

import pytest
import torch

from tausweep.storage.errors import DataError, NotFiniteError
from tausweep.workers.failures import describe

GLOO = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:5557."
)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("x"), "error"),
        (RuntimeError("x"), "error"),
        (NotFiniteError("x"), "not_finite"),
        (DataError("x"), "bad_data"),
        (MemoryError("x"), "out_of_memory"),
        (torch.OutOfMemoryError("x"), "out_of_memory"),
        (RuntimeError("std::bad_alloc"), "out_of_memory"),
        (torch.distributed.DistNetworkError("x"), "lost_worker"),
        (RuntimeError(GLOO), "lost_worker"),
    ],
)
def test_errors_have_their_class(error: Exception, failure: str) -> None:
    ending = describe(error)
    assert (ending["state"], ending["failure"]) == ("failed", failure)
    assert ending["error"] == f"{type(error).__name__}: {error}"


def test_memory_that_torch_can_not_have_on_a_cpu_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert describe(caught.value)["failure"] == "out_of_memory"
    assert "torch.empty(2**55)" in describe(caught.value)["traceback"]
