"""A Ray task: calls the worker's entry point in Ray's own process, which keeps torch loaded between runs.

If several processes train a run together, Ray Train starts them, and each calls the same entry point as under
torchrun. Runs on the nodes of the cluster, called by `orchestrator.executors.ray.driver`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tausweep.storage.files.object_store import location
from tausweep.storage.layout import RunDirectory
from tausweep.workers.stop import EXIT_REQUEUE, StopFlag

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_LOOK_SECONDS = 0.2


def execute(runs: Sequence[str], options: str) -> int:
    """Execute runs in this process.

    Ray cancels a task by calling the handler of SIGINT, and ends its processes by SIGTERM. While it runs, the
    worker handles both, so that it saves a checkpoint first.

    Args:
        runs: run directories.
        options: options of the worker, as JSON.

    Returns:
        The worker's exit code.
    """
    from tausweep.workers.__main__ import main

    _require_store(runs)
    with _handlers_kept():
        return main([*runs, "--options", options])


def _require_store(runs: Sequence[str]) -> None:
    if not RunDirectory(location(runs[0])).spec.exists():
        raise FileNotFoundError(
            f"{runs[0]}: this node does not see the store; use a folder that all nodes share"
        )


@contextmanager
def _handlers_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopSign:
    """Tells the ranks of a run to stop. It is a Ray actor, since Ray Train has no message for this."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    async def ask(self) -> None:
        """Ask the ranks to stop."""
        self._asked.set()

    async def asked(self) -> None:
        """Return once the ranks are asked to stop."""
        await self._asked.wait()


def _rank(order: dict[str, Any]) -> None:
    """The function of each Ray Train process: find its place as under torchrun, and work."""
    import ray

    from tausweep.workers.__main__ import main

    _require_store(order["runs"])
    stop = StopFlag(order["wall_seconds"])

    def listen() -> None:
        try:
            ray.get(order["stop"].asked.remote())
        finally:  # also if the actor is gone, together with the task that holds it
            stop.stop_worker()

    threading.Thread(target=listen, daemon=True).start()
    code = main([*order["runs"], "--options", order["options"]], stop)
    # A rank that ended with an error has reported it to rank 0, which must stay alive to record it.
    print(f"ended with code {code}", flush=True)  # noqa: T201


def train(
    runs: Sequence[str],
    options: str,
    processes: int,
    resources: dict[str, float],
    strategy: str,
    timeout_seconds: float,
    wall_seconds: float | None,
    files: str,
) -> int:
    """Execute runs by several processes each, on one node or several, through Ray Train.

    Args:
        runs: run directories.
        options: options of the worker, as JSON.
        processes: number of ranks.
        resources: resources of each rank.
        strategy: how ranks are placed on nodes: PACK or SPREAD.
        timeout_seconds: how long one rank waits for another.
        wall_seconds: how long the ranks may run.
        files: folder for Ray Train's own files, visible to all nodes.

    Returns:
        0, or the exit code for "start me again" if the task was cancelled.

    Raises:
        ray.train.TrainingFailedError: a rank was lost or could not start.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    actor: Any = ray.remote(num_cpus=0)(StopSign)
    sign = actor.remote()
    gpu = resources.get("GPU", 0) > 0
    order = {"runs": list(runs), "options": options, "stop": sign, "wall_seconds": wall_seconds}
    trainer = TorchTrainer(
        _rank,
        train_loop_config=order,
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if gpu else "gloo", timeout_s=max(1, int(timeout_seconds))
        ),
        scaling_config=ScalingConfig(
            num_workers=processes, use_gpu=gpu, resources_per_worker=resources, placement_strategy=strategy
        ),
        # Only the store's rule counts lost attempts.
        run_config=RunConfig(
            name=Path(runs[0]).name, storage_path=files, failure_config=FailureConfig(max_failures=0)
        ),
    )
    with _handlers_kept():
        # Do not wait: Ray interrupts a cancelled task that waits for an object after a second, and its ranks
        # too.
        stopped = _fit(trainer.fit, sign.ask.remote)
    return EXIT_REQUEUE if stopped else 0


def _fit(fit: Callable[[], object], ask: Callable[[], object]) -> bool:
    """Wait for Ray Train outside the main thread, where its own SIGINT handler would kill the ranks."""
    failed: list[BaseException] = []
    stop_requested = threading.Event()

    def run() -> None:
        try:
            fit()
        except BaseException as error:  # noqa: BLE001 - raised below, in the main thread
            failed.append(error)

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
        stop_requested.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    passed_on = False
    while thread.is_alive():
        thread.join(_LOOK_SECONDS)
        if stop_requested.is_set() and not passed_on:
            passed_on = True
            ask()
    if failed:
        print(f"Ray Train: {failed[0]}", file=sys.stderr)  # noqa: T201 - into the job's log
        raise failed[0]
    return passed_on
