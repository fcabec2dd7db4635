"""An exception as fields of an attempt's record: the class of the failure, its message, the traceback's end.

The class decides whether a run may be retried automatically. Called where an exception ends an attempt, in
the worker and in each rank, and by code that must recognise a lack of memory.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch import distributed

from tausweep.storage.attempts.records import Failure
from tausweep.storage.errors import DataError, NotFiniteError

_TRACEBACK_CHARACTERS = 4000


# torch has no exception class for these.
_NO_MEMORY_ON_THE_CPU = (
    "DefaultCPUAllocator: can't allocate memory",
    "std::bad_alloc",  # an allocation that is not a tensor; in backward() it comes as a RuntimeError
)
_GLOO = "/gloo/"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: in Python, numpy, or torch on a device or the CPU."""
    message = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in message for words in _NO_MEMORY_ON_THE_CPU
    )


def describe(error: Exception) -> dict[str, Any]:
    """The failure of an attempt by an exception, as fields of its record."""
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
