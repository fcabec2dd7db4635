"""Checkpoints of a run: written beside and renamed, a digest beside each, the two newest kept.

A checkpoint whose digest does not fit is passed over for the one before, aloud.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch

from storage.atomic import publish
from storage.layout import RunDirectory
from storage.objects import read

KEEP = 2


def save_checkpoint(run: RunDirectory, tau: int, state: dict[str, Any]) -> None:
    """Publish a checkpoint and remove all but the newest `KEEP`.

    Args:
        run: the run directory.
        tau: optimiser updates done.
        state: tensors, numbers, strings and containers of them, so that it loads with weights_only.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    # The digest first: a checkpoint without one would look torn.
    publish(run.checkpoint_digest(tau), lambda file: file.write(digest.encode()))
    publish(run.checkpoint(tau), lambda file: file.write(content))
    for old in run.checkpoint_taus()[:-KEEP]:
        run.checkpoint(old).unlink(missing_ok=True)
        run.checkpoint_digest(old).unlink(missing_ok=True)


def load_checkpoint(run: RunDirectory, device: torch.device) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; None if there is none, and the run starts from scratch."""
    for tau in reversed(run.checkpoint_taus()):
        content = read(run.checkpoint(tau))
        digest = run.checkpoint_digest(tau)
        if not digest.exists() or digest.read_text() != hashlib.sha256(content).hexdigest():
            print(f"checkpoint {tau} does not match its digest; trying the one before", flush=True)  # noqa: T201
            continue
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        return dict(state)
    return None
