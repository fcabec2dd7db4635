"""A preloaded process that forks workers: `python -P -m tausweep.workers.fork_server DESCRIPTOR`.

The local executor starts it and holds the other end of the socket. Each message is one JSON value. The server
first reports whether it may fork. Then it answers each `{"arguments": […]}`, sent with the descriptor of a
log, with the `Process` of a new worker, and reports the end of every worker. It ends when the other end is
closed. It never has a thread or a CUDA context, since neither survives a fork (docs/adr/0013).
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

import tausweep.jobs.models.unet
import tausweep.workers.execute
import tausweep.workers.ranks.follower
import tausweep.workers.ranks.team  # noqa: F401 - what a worker would load
from tausweep.storage.attempts.records import Process
from tausweep.workers import __main__ as worker

MESSAGE_BYTES = 1 << 16


def serve(channel: socket.socket) -> list[str] | None:
    """Fork workers on request.

    Args:
        channel: a socket that preserves message boundaries; closed in the workers.

    Returns:
        In a worker, its command line; in the server None, once the other end is closed.
    """
    reason = _why_not()
    _send(channel, {"refused": reason})
    if reason is not None:
        return None
    with _ends_of_children() as ended:
        while True:
            readable, _, _ = select.select([channel.fileno(), ended], [], [])
            if ended in readable:
                os.read(ended, MESSAGE_BYTES)
                for pid, code in _reaped():
                    _send(channel, {"ended": pid, "code": code})
            if channel.fileno() in readable:
                message, logs = _receive(channel)
                if not message:
                    return None
                arguments = _fork(channel, json.loads(message)["arguments"], logs[0])
                if arguments is not None:
                    return arguments


def _why_not() -> str | None:
    """Why this process may not fork workers; None if it may."""
    pa.array([0.0])  # its first call looks for pandas, and would otherwise do so in each worker
    gc.collect()
    gc.freeze()  # existing objects are never collected, so their pages stay shared
    descriptors = list(
        Path("/proc/self/fd").iterdir()
    )  # the descriptor of the folder itself is closed by then
    if any(str(file.readlink()).startswith("/dev/nvidia") for file in descriptors if file.is_symlink()):
        return "CUDA is open in the process that would fork them"
    _rehearse()
    tasks = [task.name for task in Path("/proc/self/task").iterdir()]
    threads = sorted(Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in tasks)
    if len(threads) > 1:
        return f"threads run in the process that would fork them: {', '.join(threads)}"
    return None


def _rehearse() -> None:
    # OpenBLAS starts its threads when loaded, and ends them before a fork until it needs them again.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@contextmanager
def _ends_of_children() -> Iterator[int]:
    """A descriptor that becomes readable when a child has ended; restores the signal handlers afterwards."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def note(number: int, frame: FrameType | None) -> None:
        """Do nothing: only a signal with a handler wakes `select`."""

    before = signal.signal(signal.SIGCHLD, note)
    signal.set_wakeup_fd(write)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
        os.close(read)
        os.close(write)


def _reaped() -> Iterator[tuple[int, int]]:
    """Pid and exit code, negative for a signal, of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _fork(channel: socket.socket, arguments: list[str], log: int) -> list[str] | None:
    """A new worker; returns its command line in itself, None in the server."""
    try:
        pid = os.fork()
    except OSError as error:
        os.close(log)
        _send(channel, {"refused": f"fork: {error}"})
        return None
    if pid:
        os.close(log)
        _send(channel, {"process": Process.of(pid).model_dump(mode="json")})  # not reaped yet, so still there
        return None
    os.setsid()
    channel.close()
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    return arguments


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 1)
    except ConnectionResetError:  # the other end closed with unread data
        return b"", []
    return message, descriptors


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    try:
        channel.send(json.dumps(message).encode())
    except BrokenPipeError:  # the other end is closed; the next read reports it
        return


def main() -> int:
    """Serve. The exit code is that of the server, or in a forked process that of the worker."""
    arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    if arguments is None:
        return 0
    sys.argv = [worker.__file__, *arguments]
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
