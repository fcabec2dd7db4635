"""The worker's entry point, the one thing every executor launches: `python -m workers RUN_DIRECTORY…`.

A file of run directories, one a line, is given as `@FILE`. Exit codes: 0 all done; 75 (EX_TEMPFAIL) asked to stop or
out of time, requeue me; anything else is a fault of the worker itself, not of a run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from storage.objects import location
from workers.stop import EXIT_REQUEUE, StopFlag


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and work.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m workers")
    parser.add_argument("runs", nargs="+", metavar="RUN_DIRECTORY")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads torch may use")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    parser.add_argument("--heartbeat-seconds", type=float, default=10.0)
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0, help="inf for no such checkpoints")
    parser.add_argument("--checkpoint-steps", type=int)
    parser.add_argument("--keep-checkpoints", default="", help="`evaluations`, or steps separated by commas")
    parser.add_argument("--wall-seconds", type=float, help="checkpoint and end with 75 before these are over")
    parser.add_argument("--max-attempts", type=int, default=3)
    parser.add_argument("--retry-seconds", type=float, default=10.0)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--job-id", help="the submission this worker belongs to")
    options = parser.parse_args(arguments)
    stop = StopFlag(options.wall_seconds)
    stop.install()  # before torch loads: a signal in those seconds must not be lost
    try:
        return 0 if _work(options, stop) else EXIT_REQUEUE
    except KeyboardInterrupt:  # a second SIGINT, outside of any attempt
        return EXIT_REQUEUE


def _work(options: argparse.Namespace, stop: StopFlag) -> bool:
    import torch

    from storage.attempts import RetryPolicy
    from storage.layout import RunDirectory
    from workers.checkpointing import CheckpointPolicy
    from workers.execute import WorkerOptions, work

    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    keep = options.keep_checkpoints
    return work(
        [RunDirectory(location(path).resolve()) for path in _listed(options.runs)],
        stop,
        WorkerOptions(
            device=torch.device(device),
            heartbeat_seconds=options.heartbeat_seconds,
            checkpoints=CheckpointPolicy(
                seconds=options.checkpoint_seconds,
                steps=options.checkpoint_steps,
                keep=keep if keep == "evaluations" else tuple(int(tau) for tau in keep.split(",") if tau),
            ),
            retries=RetryPolicy(max_attempts=options.max_attempts, retry_seconds=options.retry_seconds),
            parent=options.parent,
            job_id=options.job_id,
        ),
    )


def _listed(given: list[str]) -> Iterator[str]:
    for argument in given:
        if argument.startswith("@"):
            yield from location(argument[1:]).read_text().splitlines()
        else:
            yield argument


if __name__ == "__main__":
    sys.exit(main())
