"""Queries to a Ray cluster: its nodes, its jobs, and who can reach it.

All queries go to the dashboard's address with Ray's own clients. If a cluster does not answer in time, that
is an error here and changes no state anywhere (docs/ray.md).
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

import psutil

from tausweep.storage.errors import InputError, TausweepError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

T = TypeVar("T")

ANSWER_SECONDS = 30.0
_START_SECONDS = 120.0  # Ray starts a process for each client of ray://
_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


def answer(call: Callable[[], T], *, seconds: float = ANSWER_SECONDS) -> T:
    """The result of a call to one of Ray's clients.

    Raises:
        TausweepError: the call failed, or Ray did not answer in time.
    """
    results: list[T] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(error)

    # Ray's dashboard clients wait for ever; a daemon thread ends with the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    if not failed:
        raise TausweepError(f"Ray did not answer within {seconds:.0f} s")
    if isinstance(failed[0], TausweepError | KeyboardInterrupt | SystemExit):
        raise failed[0]
    raise TausweepError(f"Ray: {str(failed[0]).strip()}") from failed[0]


@contextmanager
def _as_named(address: str | None) -> Iterator[None]:
    """Keep Ray from replacing a given address by that of the environment."""
    kept = (
        {} if address is None else {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
    )
    try:
        yield
    finally:
        os.environ.update(kept)


def client(address: str | None) -> JobSubmissionClient:
    """A client of Ray Jobs on a cluster.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    require_ray()

    from ray.job_submission import JobSubmissionClient

    seconds = _START_SECONDS if (address or "").startswith("ray://") else ANSWER_SECONDS
    try:
        with _as_named(address):  # in this thread: a hanging one would keep the changed environment
            return answer(lambda: JobSubmissionClient(address), seconds=seconds)
    except InputError:
        raise
    except TausweepError as error:
        place = address or next((os.environ[name] for name in _ADDRESSES if os.environ.get(name)), "auto")
        raise InputError(f"--executor ray: no Ray cluster answers at {place}: {error}") from error


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        InputError: it is not.
    """
    try:
        import ray.job_submission  # noqa: F401 - looked for before anything is written
    except ImportError as error:
        raise InputError(
            "--executor ray: needs a package that is not installed: pip install 'tausweep[ray]'"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Node:
    """A live node: its name in Ray, and its total resources (CPU, GPU, memory in bytes, custom ones)."""

    name: str
    has: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.name} ({describe(self.has)})"


def describe(amounts: Mapping[str, float]) -> str:
    """Resources as text, without the ones by which Ray marks nodes."""
    shown = {name: value for name, value in amounts.items() if not name.startswith(("node:", "object_store"))}
    words = [
        f"memory {value / 1024**3:.3g}G" if name == "memory" else f"{name} {value:g}"
        for name, value in sorted(shown.items())
    ]
    return ", ".join(words) or "nothing"


def nodes(dashboard: str) -> list[Node]:
    """The live nodes of a cluster.

    Raises:
        TausweepError: Ray does not answer.
    """

    def ask() -> list[Node]:
        from ray.util.state import list_nodes

        states = list_nodes(address=dashboard, detail=True, limit=10_000, timeout=int(ANSWER_SECONDS))
        return [
            Node(name=node.node_ip, has=dict(node.resources_total or {}))
            for node in states
            if node.state == "ALIVE"
        ]

    with _as_named(dashboard):
        return answer(ask)


def places(nodes: Sequence[Node], each: Mapping[str, float]) -> int:
    """How many processes with these needs the nodes can hold at once."""
    return sum(
        min(int(node.has.get(name, 0) / amount + 1e-6) for name, amount in each.items()) for node in nodes
    )


def jobs(of: JobSubmissionClient) -> dict[str, JobDetails]:
    """Submission id → Ray's details of the job, by one request.

    Raises:
        TausweepError: Ray does not answer.
    """
    known: list[JobDetails] = answer(of.list_jobs)
    return {job.submission_id: job for job in known if job.submission_id is not None}


def exposure(of: JobSubmissionClient) -> str | None:
    """Why strangers can run code on the cluster, as a warning; None if no reason is known.

    Strangers can if other machines reach the dashboard and it requires no token.

    Raises:
        TausweepError: Ray does not answer.
    """
    url = urlsplit(of.get_address())
    reached = _reached_from(url.hostname or "", url.port or 80)
    if reached is None or _authenticated(of):
        return None
    return (
        f"WARNING: anyone who reaches Ray's dashboard can run any code as you, and it {reached} without authentication. "
        "Start Ray with --dashboard-host 127.0.0.1, or with RAY_AUTH_MODE=token (docs/ray.md)"
    )


def _reached_from(host: str, port: int) -> str | None:
    if not _loopback(host):
        return f"is at {host}, which other machines may reach,"
    try:
        sockets = psutil.net_connections(kind="inet")
    except psutil.AccessDenied:  # macOS shows them only to root
        return None
    ends = [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN]
    listening = {str(end[0]) for end in ends if end and end[1] == port}
    # The kernel prefers the socket of the exact address; one for all addresses is then another program's.
    if host in listening or not listening:
        return None
    public = sorted(ip for ip in listening if not _loopback(ip))
    return f"listens on {public[0]}:{port}, on all networks of this machine," if public else None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # the name of some other machine
        return False


def _authenticated(of: JobSubmissionClient) -> bool:
    import requests

    def ask() -> str:
        # Older Ray has neither this query nor authentication.
        reply = requests.get(f"{of.get_address()}/api/authentication_mode", timeout=ANSWER_SECONDS)
        return cast(str, reply.json()["authentication_mode"]) if reply.ok else "disabled"

    return answer(ask) != "disabled"
