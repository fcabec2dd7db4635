"""The worker's entry point, the one thing every executor launches: `python -m workers RUN_DIRECTORY…`.

A file of run directories, one a line, is given as `@FILE`. Exit codes: 0 all done; 75 (EX_TEMPFAIL) asked to stop,
requeue me; anything else is a fault of the worker itself, not of a run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from storage.objects import location

EXIT_REQUEUE = 75


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
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--job-id", help="the submission this worker belongs to")
    options = parser.parse_args(arguments)

    from workers.stop import StopFlag

    stop = StopFlag()
    stop.install()  # before torch loads: a signal in those seconds must not be lost

    import torch

    from storage.layout import RunDirectory
    from workers.execute import WorkerOptions, work

    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    finished = work(
        [RunDirectory(location(path).resolve()) for path in _listed(options.runs)],
        stop,
        WorkerOptions(
            device=torch.device(device),
            heartbeat_seconds=options.heartbeat_seconds,
            checkpoint_seconds=options.checkpoint_seconds,
            parent=options.parent,
            job_id=options.job_id,
        ),
    )
    return 0 if finished else EXIT_REQUEUE


def _listed(given: list[str]) -> Iterator[str]:
    for argument in given:
        if argument.startswith("@"):
            yield from location(argument[1:]).read_text().splitlines()
        else:
            yield argument


if __name__ == "__main__":
    sys.exit(main())
