"""What a run sees of its surroundings: its store, its checkpoints and who may stop it.

Implements `jobs.training.RunContext` on a run directory, for one attempt.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from jobs.training import Columns
from storage.attempts import AttemptRecord, require_ownership, write_attempt
from storage.layout import RunDirectory, TableName
from storage.parts import PartWriter
from workers.checkpointing import load_checkpoint, save_checkpoint
from workers.heartbeat import Heartbeat
from workers.stop import StopFlag


class AttemptContext:
    """The surroundings of one attempt."""

    def __init__(
        self,
        run: RunDirectory,
        record: AttemptRecord,
        heartbeat: Heartbeat,
        stop: StopFlag,
        *,
        device: torch.device,
        checkpoint_seconds: float,
    ) -> None:
        self.run, self.record = run, record
        self.tau = 0
        self._heartbeat, self._stop = heartbeat, stop
        self._device = device
        self._writer = PartWriter(run, attempt=record.attempt)
        self._every = checkpoint_seconds
        self._saved = time.monotonic()

    def restore(self) -> dict[str, Any] | None:
        """Load the newest checkpoint and record from which tau the attempt goes on."""
        state = load_checkpoint(self.run, self._device)
        self.tau = int(state["tau"]) if state is not None else 0
        self.record = self.record.model_copy(update={"resumed_from_tau": self.tau})
        require_ownership(self.run, self.record.attempt)
        write_attempt(self.run, self.record)
        self._heartbeat.start_from(self.tau)
        return state

    def save(self, tau: int, state: dict[str, Any]) -> None:
        """Publish a checkpoint."""
        require_ownership(self.run, self.record.attempt)
        save_checkpoint(self.run, tau, state)
        self._saved = time.monotonic()

    def checkpoint_due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._saved >= self._every

    def publish(self, table: TableName, columns: Columns) -> None:
        """Publish a part."""
        self._writer.publish(table, columns)

    def progress(self, tau: int) -> None:
        """Remember how far the run is, for the heartbeat and the final record."""
        self.tau = self._heartbeat.tau = tau

    def should_stop(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.reason is not None

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()
