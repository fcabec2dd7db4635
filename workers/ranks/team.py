"""The ranks under a worker: starts them, sends them the next run, and finds the cause when one fails.

Only rank 0 claims runs, sends heartbeats, checkpoints and publishes. The others follow it from run to run
(`workers.ranks.follower`), so torch is loaded once. `Team` itself is a worker that works alone.
`workers.ranks.process_group` has the communication.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import distributed
from torch.distributed.distributed_c10d import Store

from tausweep.jobs.ranks import Ranks
from tausweep.storage.errors import InputError, TausweepError
from tausweep.storage.layout import RunDirectory
from tausweep.workers.options import WorkerOptions
from tausweep.workers.ranks.process_group import (
    START_SECONDS,
    GroupRanks,
    Place,
    failure_key,
    find_store,
    ready_key,
    report,
)

_REPORT_SECONDS = 10.0  # how long live ranks may take to report why they ended
_LOOPBACK = "127.0.0.1"


class Team:
    """The ranks that a worker leads, as a context manager; this class itself has no other ranks.

    Attributes:
        ranks: the ranks as the training loop sees them.
    """

    ranks: Ranks = Ranks()

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all ranks that this team started."""

    def assemble(self) -> None:
        """Make all ranks ready for a run, before it is claimed."""

    def begin(self, run: RunDirectory) -> None:
        """Let the other ranks train a run."""

    def done(self) -> None:
        """Note that all ranks have finished a run together."""

    def cause(self, ending: dict[str, Any]) -> dict[str, Any]:
        """Why an attempt failed, given how it ended in rank 0: another rank's error may be the cause."""
        return ending

    def idle(self) -> None:
        """Show the other ranks that this one is alive while there is nothing to train."""

    def end(self, code: int) -> None:
        """Make the other ranks end with an exit code."""


class Leader(Team):
    """Rank 0 of several.

    It starts the others on this host, unless another program has started them all. Ranks that are out of step
    because one of them failed during a run are replaced by new ones.
    """

    def __init__(
        self, options: WorkerOptions, *, device: torch.device, place: Place | None, runs: Sequence[str]
    ) -> None:
        """Prepare; nothing is started.

        Args:
            options: this worker's options, also for the ranks that it starts.
            device: where rank 0 computes.
            place: this process's place, if another program started the ranks.
            runs: the run directories of this worker's command line, also for the ranks that it starts.
        """
        self._options, self._device, self._place, self._runs = options, device, place, runs
        self._size = place.size if place else options.processes
        self._timeout = options.rank_timeout_seconds
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._group: GroupRanks | None = None
        self._in_step = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the ranks that this one started, which hold no data, and leave the group."""
        for child in self._children.values():
            child.kill()
            child.wait()
        self._children = {}
        GroupRanks.leave()

    def assemble(self) -> None:
        """Start or join the ranks, if that is not done yet or they must be replaced.

        Raises:
            TausweepError: a rank does not start, or ranks that another program started are out of step.
        """
        if self._in_step and all(child.poll() is None for child in self._children.values()):
            return
        if self._place is None:
            self._start()
        elif self._group is None:
            self._join(self._place, find_store(self._place))
        else:
            raise TausweepError("the ranks are out of step after a failed run; restart all of them")

    def _start(self) -> None:
        self.__exit__(None, None, None)
        # The port is bound before it is announced, so no other process can take it; it is not reachable from
        # outside.
        listener = socket.create_server((_LOOPBACK, 0))
        port = listener.getsockname()[1]
        store = distributed.TCPStore(  # type: ignore[attr-defined] # public, but missing in torch's own types
            _LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
        )
        os.environ["GLOO_SOCKET_IFNAME"] = _loopback_interface()
        options = self._options.model_copy(update={"parent": os.getpid()}).model_dump_json()
        command = [sys.executable, "-P", "-m", "tausweep.workers", *self._runs, "--options", options]
        for rank in range(1, self._size):
            place = Place(rank=rank, size=self._size, local_rank=rank, address=_LOOPBACK, port=port)
            self._children[rank] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=os.environ | place.environment()
            )
        self._wait_for_children(store)
        self._join(Place(rank=0, size=self._size, local_rank=0, address=_LOOPBACK, port=port), store)

    def _wait_for_children(self, store: Store) -> None:
        deadline = time.monotonic() + START_SECONDS
        for rank, child in self._children.items():
            while not store.check([ready_key(rank)]):
                if child.poll() is not None:
                    raise TausweepError(f"{self._name(rank)} ended with code {child.returncode} at its start")
                if time.monotonic() > deadline:
                    raise TausweepError(f"{self._name(rank)} has not started within {START_SECONDS:.0f} s")
                time.sleep(0.05)

    def _join(self, place: Place, store: Store) -> None:
        self.ranks = self._group = GroupRanks(place, store, self._device, self._timeout)
        self._in_step = True

    def begin(self, run: RunDirectory) -> None:
        """Make the other ranks train a run; they count as out of step until `done`."""
        self._in_step = False
        self.ranks.broadcast({"run": str(run.path)})

    def done(self) -> None:
        """Note that all ranks have finished a run together."""
        self._in_step = True

    def cause(self, ending: dict[str, Any]) -> dict[str, Any]:
        """The first error that any rank reported; for lost connections, the ranks that no longer respond."""
        if self._group is None:
            return ending
        if ending["failure"] == "not_finite":  # losses are averaged: every rank has seen it at the same step
            self._in_step = True
            return ending
        first = report(self._group, ending)
        reported = json.loads(self._group.store.get(failure_key(first)))
        if reported["failure"] != "lost_worker":
            prefix = f"{self._name(first)}: " if first else ""
            return {**reported, "error": prefix + reported["error"]}
        silent = self._silent(self._group.store)
        if not silent:
            return ending
        fates = "; ".join(f"{self._name(rank)} {self._fate(rank)}" for rank in silent)
        return {**ending, "error": fates}  # rank 0's view of it is in its traceback

    def _silent(self, store: Store) -> list[int]:
        deadline = time.monotonic() + _REPORT_SECONDS
        waiting = set(range(1, self._size))
        while waiting:
            dead = {rank for rank, child in self._children.items() if child.poll() is not None}
            waiting = {rank for rank in waiting if not store.check([failure_key(rank)])}
            if waiting <= dead or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return sorted(waiting)

    def _name(self, rank: int) -> str:
        child = self._children.get(rank)
        return f"rank {rank}" + (f" (pid {child.pid})" if child else "")

    def _fate(self, rank: int) -> str:
        child = self._children.get(rank)
        if child is None or child.poll() is None:
            return f"was lost or did not answer for {self._timeout:g} s (rank_timeout_seconds)"
        code = child.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def idle(self) -> None:
        """Show the other ranks that this one is alive, or they would count it as lost."""
        if self._in_step:
            self.ranks.broadcast({})

    def end(self, code: int) -> None:
        """Make the other ranks end with an exit code."""
        if self._in_step:
            self.ranks.broadcast({"end": code})


def _loopback_interface() -> str:
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def make_team(
    options: WorkerOptions, *, device: torch.device, place: Place | None, runs: Sequence[str]
) -> Team:
    """A worker's team: a worker alone, or rank 0 of several (see `Leader`).

    Raises:
        InputError: the number of ranks is not the requested one.
    """
    if place is not None and options.processes not in (1, place.size):
        raise InputError(f"--processes {options.processes}: the environment has WORLD_SIZE = {place.size}")
    if place is None and options.processes == 1:
        return Team()
    return Leader(options, device=device, place=place, runs=runs)
