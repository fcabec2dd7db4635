"""What an attempt's record says of an exception: the class of the failure, its message, and the traceback's end.

Called where an exception ends an attempt, in the worker and in each rank of a group of processes.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch import distributed

from storage.attempts import Failure
from storage.errors import DataError, NotFiniteError

_TRACEBACK_CHARACTERS = 4000


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
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, distributed.DistError):
        return "lost_worker"
    # torch has no class of its own for either of these.
    if type(error) is RuntimeError and "DefaultCPUAllocator" in str(error):
        return "out_of_memory"
    if type(error) is RuntimeError and "/gloo/" in str(error):
        return "lost_worker"
    return "error"
