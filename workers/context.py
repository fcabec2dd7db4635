"""The context of a run: its store, its checkpoints and the requests to stop it.

Implements `jobs.training.loop.RunContext` on a run directory, for one attempt.
"""

from __future__ import annotations

import time
from typing import Any

from tausweep.jobs.training.loop import Columns
from tausweep.storage.attempts.claims import require_ownership
from tausweep.storage.attempts.records import AttemptRecord, write_attempt
from tausweep.storage.layout import RunDirectory, TableName
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.workers.checkpointing import CheckpointPolicy, load_checkpoint, save_checkpoint
from tausweep.workers.heartbeat import Heartbeat
from tausweep.workers.stop import StopFlag


class AttemptContext:
    """The context of one attempt.

    Attributes:
        record: the attempt's record as last written.
        tau: last optimiser update done.
        saving_seconds: time spent on saving checkpoints.
        keep: steps whose checkpoints are saved and kept.
    """

    def __init__(
        self,
        run: RunDirectory,
        record: AttemptRecord,
        heartbeat: Heartbeat,
        stop: StopFlag,
        *,
        policy: CheckpointPolicy,
    ) -> None:
        self.run, self.record = run, record
        self.tau = 0
        self._heartbeat, self._stop = heartbeat, stop
        self._writer = PartWriter(run, attempt=record.attempt)
        self._policy = policy
        self.keep: frozenset[int] = frozenset()
        self.saving_seconds = 0.0
        self._saves = 0
        self._last_save, self._saved_tau = 0.0, 0
        self._saved = self._looked = self._began = time.monotonic()

    def restore(self) -> dict[str, Any] | None:
        """Load the newest checkpoint and record from which tau the attempt goes on."""
        state, damaged = load_checkpoint(self.run)
        self.tau = self._saved_tau = int(state["tau"]) if state is not None else 0
        resumed = {"resumed_from_tau": self.tau, "damaged_checkpoints": tuple(damaged)}
        self.record = self.record.model_copy(update=resumed)
        require_ownership(self.run, self.record.attempt)
        write_attempt(self.run, self.record)
        # Again: if it passes, any attempt that takes over later has read where this one resumed.
        require_ownership(self.run, self.record.attempt)
        self._heartbeat.start_from(self.tau)
        self._saved = self._looked = self._began = time.monotonic()
        return state

    def save(self, tau: int, state: dict[str, Any]) -> None:
        """Publish a checkpoint."""
        require_ownership(self.run, self.record.attempt)
        began = time.monotonic()
        save_checkpoint(self.run, tau, state, self.keep)
        self._saved = self._looked = time.monotonic()
        self._saved_tau, self._last_save = tau, self._saved - began
        self.saving_seconds += self._last_save
        self._saves += 1
        self._stop.budget.saw_save(self._last_save)

    def checkpoint_due(self) -> bool:
        """Whether this step's checkpoint must be kept, or an interval has passed."""
        since = time.monotonic() - self._saved
        return self.tau in self.keep or self._policy.due(
            steps=self.tau - self._saved_tau, seconds=since, last_save=self._last_save
        )

    def publish(self, table: TableName, columns: Columns) -> None:
        """Publish a part."""
        self._writer.publish(table, columns)

    def progress(self, tau: int) -> None:
        """Record the progress for the heartbeat and the final record."""
        self.tau = self._heartbeat.tau = tau
        now = time.monotonic()
        self._stop.budget.saw_step(now - self._looked)
        self._looked = now

    def should_stop(self) -> bool:
        """Whether a stop was requested, or the worker's time is over."""
        self._stop.look_at_budget()
        return self._stop.reason is not None

    def cost_of_saving(self) -> str:
        """The cost of checkpoints so far, as text for the log."""
        total = time.monotonic() - self._began
        share = f", {self.saving_seconds / total:.2%} of {total:.1f} s" if total > 0 else ""
        return f"{self._saves} checkpoints saved in {self.saving_seconds:.2f} s{share}"

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()
