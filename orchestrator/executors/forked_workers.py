"""Local workers, forked from one process that has loaded torch (see `workers.fork_server`).

Used by the local executor, which starts separate processes where forking is not possible. A server ends when
it is closed, or with the process that started it.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tausweep.storage.attempts.records import Process
from tausweep.workers.stop import EXIT_REQUEUE

_MESSAGE_BYTES = 1 << 16
_SANITIZERS = ("libasan", "libtsan", "libmsan", "libubsan", "liblsan", "libclang_rt")


class CannotForkError(Exception):
    """Workers cannot be forked here; the message says why."""


def require_forkable(environment: Mapping[str, str]) -> None:
    """Check what is known without trying to fork.

    Raises:
        CannotForkError: the system, the user or a preloaded library forbids it.
    """
    if environment.get("TAUSWEEP_FORK") == "0":
        raise CannotForkError("TAUSWEEP_FORK=0")
    if sys.platform != "linux":
        raise CannotForkError(f"{sys.platform}: its libraries do not allow forking")
    for library in environment.get("LD_PRELOAD", "").replace(":", " ").split():
        if Path(library).name.startswith(_SANITIZERS):
            raise CannotForkError(f"LD_PRELOAD contains {library}, a sanitizer")


class ForkServer:
    """The process that forks workers, and its reports about them."""

    def __init__(self, environment: Mapping[str, str], log: BinaryIO) -> None:
        """Start it and wait until it has loaded torch, which takes some seconds.

        Args:
            environment: that of the workers; variables that libraries read when loaded cannot be changed
                later.
            log: file for its own errors.

        Raises:
            CannotForkError: it cannot be started, or reports that it must not fork.
        """
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", "tausweep.workers.fork_server", str(far.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Otherwise Arrow's allocator would start a thread when loaded.
                env={"JE_ARROW_MALLOC_CONF": "background_thread:false", **environment},
                pass_fds=[far.fileno()],
                start_new_session=True,  # Ctrl-C reaches only this process
            )
        self._workers: dict[int, ForkedWorker] = {}
        self._gone = False
        try:
            self._answer()
        except CannotForkError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The parent of the workers."""
        return self._server.pid

    @property
    def gone(self) -> bool:
        """Whether the server has ended, according to the messages read so far."""
        return self._gone

    def fork(self, arguments: Sequence[str], log: BinaryIO) -> ForkedWorker:
        """Start a worker.

        Args:
            arguments: the worker's command line.
            log: file for its output.

        Raises:
            CannotForkError: it could not be forked; `gone` tells whether the server has ended.
        """
        message = json.dumps({"arguments": list(arguments)}).encode()
        try:
            socket.send_fds(self._channel, [message], [log.fileno()])
        except OSError as error:  # the server is gone, or the list does not fit into a message
            self.listen()
            raise CannotForkError(
                f"the process that forks workers does not take requests ({error})"
            ) from error
        worker = ForkedWorker(self, Process.model_validate(self._answer()))
        self._workers[worker.process.pid] = worker
        return worker

    def listen(self) -> None:
        """Read which workers have ended."""
        while not self._gone and select.select([self._channel], [], [], 0)[0]:
            self._note()

    def wait(self, seconds: float) -> None:
        """Return when a worker ends, or after this many seconds."""
        if self._gone:
            time.sleep(seconds)
        elif select.select([self._channel], [], [], seconds)[0]:
            self.listen()

    def close(self) -> None:
        """End the server; running workers become orphans and stop by themselves."""
        self._channel.close()
        self._gone = True
        self._server.wait()

    def _answer(self) -> Any:
        """The process of a requested worker; at the beginning only the report that forking works.

        Raises:
            CannotForkError: the server refuses, or has ended.
        """
        while (message := self._note()) is None:
            if self._gone:
                raise CannotForkError(
                    f"the process that forks workers ended with exit code {self._server.wait()}"
                )
        if message.get("refused"):
            raise CannotForkError(message["refused"])
        return message.get("process")

    def _note(self) -> dict[str, Any] | None:
        """Read one message; return it unless it only reports the end of a worker or of the server."""
        try:
            content = self._channel.recv(_MESSAGE_BYTES)
        except ConnectionResetError:
            content = b""
        if not content:
            self._gone = True
            return None
        message: dict[str, Any] = json.loads(content)
        if "ended" in message:
            self._workers.pop(message["ended"]).exit_code = message["code"]
            return None
        return message


class ForkedWorker:
    """A worker that a server has forked.

    Attributes:
        process: its process.
        exit_code: as reported by the server; None before that.
    """

    def __init__(self, server: ForkServer, process: Process) -> None:
        self.process = process
        self.exit_code: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs.

        If the server has ended the code is unknown; the worker then stops too and counts as one to be started
        again.
        """
        self._server.listen()
        if self.exit_code is None and self._server.gone and not self.process.alive():
            self.exit_code = EXIT_REQUEUE
        return self.exit_code
