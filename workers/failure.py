"""Which class of failure an exception is: decides whether a run may be tried again by itself, and what the user is told.

Called where an attempt ends, and by whoever must not take a lack of memory for something else.
"""

from __future__ import annotations

import torch

from storage.attempts import Failure
from storage.errors import DataError, NotFiniteError

_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"  # torch has no class of its own for it


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, numpy's, torch's on a device or torch's on the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _CPU_ALLOCATOR in str(error)


def failure_of(error: Exception) -> Failure:
    """The class of a failure."""
    if isinstance(error, NotFiniteError):
        return "not_finite"
    if isinstance(error, DataError):
        return "bad_data"
    return "out_of_memory" if is_out_of_memory(error) else "error"
