"""Checkpoints of a run: published atomically with a digest; the two newest and the requested ones are kept.

A checkpoint that cannot be used is skipped with a warning, and the one before is tried. Called by the run
context.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import CorruptFileError
from tausweep.storage.files.atomic import publish_bytes
from tausweep.storage.files.object_store import read
from tausweep.storage.layout import RunDirectory
from tausweep.workers.failures import is_out_of_memory
from tausweep.workers.options import WorkerOptions

NEWEST = 2
_UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, TypeError, ValueError, LookupError)
_COST = (
    50  # the next save by time waits this many times the last save's duration, so saving costs less than 2 %
)


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """When checkpoints are saved, and which are kept besides the newest.

    Whichever interval ends first counts.

    Attributes:
        seconds: time between two checkpoints, longer if saving is slow; None for no such limit.
        steps: optimiser updates between two checkpoints, None for no such limit.
        keep: steps whose checkpoints are saved and kept, or "evaluations" for every evaluated step.
    """

    seconds: float = 60.0
    steps: int | None = None
    keep: tuple[int, ...] | Literal["evaluations"] = ()

    @classmethod
    def of(cls, options: WorkerOptions) -> Self:
        """The policy from a worker's options."""
        seconds = math.inf if options.checkpoint_seconds is None else options.checkpoint_seconds
        return cls(seconds=seconds, steps=options.checkpoint_steps, keep=options.keep_checkpoints)

    def due(self, *, steps: int, seconds: float, last_save: float) -> bool:
        """Whether a checkpoint is due this many steps and seconds after the last; it took `last_save` s."""
        enough = self.steps is not None and steps >= self.steps
        return enough or seconds >= max(self.seconds, _COST * last_save)

    def kept(self, spec: RunSpec) -> frozenset[int]:
        """The steps of a run whose checkpoints stay."""
        return frozenset(spec.taus if self.keep == "evaluations" else self.keep)


def save_checkpoint(run: RunDirectory, tau: int, state: dict[str, Any], keep: Collection[int] = ()) -> None:
    """Publish a checkpoint and remove all but the newest `NEWEST` and those to keep.

    Args:
        run: the run directory.
        tau: optimiser updates done.
        state: tensors, numbers, strings and containers of them, so that it loads with weights_only.
        keep: steps whose checkpoints are kept.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    # The digest first: a checkpoint without one would look torn.
    publish_bytes(run.checkpoint_digest(tau), digest.encode())
    publish_bytes(run.checkpoint(tau), content)
    taus = run.checkpoint_taus()
    # Those of later steps are damaged, or this attempt would have resumed from them.
    newest = [t for t in taus if t <= tau][-NEWEST:]
    for old in taus:
        if old not in newest and (old > tau or old not in keep):
            run.checkpoint(old).unlink(missing_ok=True)
            run.checkpoint_digest(old).unlink(missing_ok=True)


def read_checkpoint(run: RunDirectory, tau: int) -> dict[str, Any]:
    """The checkpoint of one step, on the CPU.

    Raises:
        CorruptFileError: it does not match its digest or cannot be loaded; the message says which.
        FileNotFoundError: there is no checkpoint of this step.
    """
    path = run.checkpoint(tau)
    content = read(path)
    digest = run.checkpoint_digest(tau)
    if not digest.exists() or digest.read_text() != hashlib.sha256(content).hexdigest():
        raise CorruptFileError(f"checkpoint {tau} does not match its digest")
    try:
        # Onto the CPU; load_state_dict copies from there. An error of a device is not damage.
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except _UNREADABLE as error:
        if is_out_of_memory(error):
            raise
        raise CorruptFileError(f"checkpoint {tau} cannot be loaded ({error})") from error


def load_checkpoint(run: RunDirectory) -> tuple[dict[str, Any] | None, list[int]]:
    """The newest checkpoint that can be used.

    Returns:
        Its state on the CPU, or None if the run starts from scratch; and the steps of damaged checkpoints
        that were skipped.
    """
    damaged: list[int] = []
    for tau in reversed(run.checkpoint_taus()):
        try:
            return read_checkpoint(run, tau), damaged
        except CorruptFileError as error:
            print(f"WARNING: {error}; trying the one before", flush=True)  # noqa: T201
            damaged.append(tau)
    if damaged:
        print(f"WARNING: no checkpoint can be used; run {run.run_id} starts again from tau = 0", flush=True)  # noqa: T201
    return None, damaged
