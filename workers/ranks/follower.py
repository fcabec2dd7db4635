"""A rank other than 0: it trains what rank 0 trains, stores nothing and decides nothing.

Called by the worker's entry point where the environment gives the process such a rank.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import torch

from tausweep.jobs.training.loop import Columns, train
from tausweep.storage.errors import NotFiniteError
from tausweep.storage.files.object_store import location
from tausweep.storage.layout import RunDirectory, TableName
from tausweep.workers.failures import describe
from tausweep.workers.inputs import open_features, open_images, open_labels, open_spec
from tausweep.workers.ranks.process_group import GroupRanks, Place, find_store, ready_key, report

_PARENT_SECONDS = 1.0


class _Follower:
    """The run context in a rank that stores nothing and decides nothing."""

    def restore(self) -> dict[str, Any] | None:
        """Rank 0 restores."""
        return None

    def save(self, tau: int, state: dict[str, Any]) -> None:
        """Rank 0 saves."""

    def checkpoint_due(self) -> bool:
        """Rank 0 decides."""
        return False

    def publish(self, table: TableName, columns: Columns) -> None:
        """Rank 0 publishes."""

    def progress(self, tau: int) -> None:
        """Rank 0 reports progress."""

    def should_stop(self) -> bool:
        """Rank 0 decides."""
        return False

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()


def follow(place: Place, *, device: torch.device, timeout_seconds: float, parent: int | None) -> int:
    """Act as a rank other than 0: train what rank 0 trains, until rank 0 ends.

    Args:
        place: this process's place among the ranks.
        device: where to compute.
        timeout_seconds: how long one rank waits for another before it counts as lost.
        parent: pid of rank 0 if rank 0 started this process, which then ends with it.

    Returns:
        The exit code.
    """
    if threading.current_thread() is threading.main_thread():  # otherwise the caller handles signals
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # rank 0 gets them too, and all ranks stop at the same step
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    store = find_store(place)
    store.set(ready_key(place.rank), "")
    ranks = GroupRanks(place, store, device, timeout_seconds)
    try:
        return _train_until_the_end(ranks, device)
    finally:
        ranks.leave()


def _train_until_the_end(ranks: GroupRanks, device: torch.device) -> int:
    while True:
        try:
            order: dict[str, Any] = ranks.broadcast({})
            if "end" in order:
                return int(order["end"])
            if "run" in order:
                run = RunDirectory(location(order["run"]))
                spec = open_spec(run)
                images, labels = open_images(run, spec), open_labels(run.store, spec.data)
                features = open_features(run, spec)
                train(spec, images, _Follower(), device, ranks, labels=labels, features=features)
        except NotFiniteError:
            continue  # every rank has seen it; rank 0 records it
        except Exception as error:  # noqa: BLE001 - rank 0 puts it in the run's record
            report(ranks, describe(error))
            return 1


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)  # the main thread may wait for rank 0 for minutes
