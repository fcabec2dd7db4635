"""What an attempt's record says of an exception: the class of the failure, its message, and the traceback's end.

The class decides whether a run may be tried again by itself. Called where an exception ends an attempt, in
the worker and in each rank of a group of processes, and by whoever must not take a lack of memory for
something else.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch import distributed

from tausweep.storage.attempts.records import Failure
from tausweep.storage.errors import DataError, NotFiniteError

_TRACEBACK_CHARACTERS = 4000


# torch has no class of its own for these.
_NO_MEMORY_ON_THE_CPU = (
    "DefaultCPUAllocator: can't allocate memory",
    "std::bad_alloc",  # what is not a tensor; in backward() it comes as a RuntimeError
)
_GLOO = "/gloo/"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, numpy's, torch's on a device or torch's on the CPU."""
    told = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in told for words in _NO_MEMORY_ON_THE_CPU
    )


def describe(error: Exception) -> dict[str, Any]:
    """The end of an attempt by an exception, as fields of its record."""
    return {
        "state": "failed",
        "failure": _classify(error),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:],
    }


def _classify(error: Exception) -> Failure:
    if isinstance(error, NotFiniteError):
        return "not_finite"
    if isinstance(error, DataError):
        return "bad_data"
    if is_out_of_memory(error):
        return "out_of_memory"
    if isinstance(error, distributed.DistError) or (type(error) is RuntimeError and _GLOO in str(error)):
        return "lost_worker"
    return "error"
