"""The worker's entry point, the one thing every executor launches: `python -m workers RUN_DIRECTORY…`.

A file of run directories, one a line, is given as `@FILE`. Exit codes: 0 all done; 75 (EX_TEMPFAIL) asked to stop,
requeue me; anything else is a fault of the worker itself, not of a run. Where torchrun's environment gives the process
a place among others, or with --processes, each run is trained by several ranks (see `workers.team`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import TausweepError

if TYPE_CHECKING:
    from workers.stop import StopFlag

EXIT_REQUEUE = 75


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and work.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m workers", fromfile_prefix_chars="@")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIRECTORY")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads torch may use")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    parser.add_argument("--heartbeat-seconds", type=float, default=10.0)
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--job-id", help="the submission this worker belongs to")
    parser.add_argument("--processes", type=int, default=1, help="ranks that train each run together")
    parser.add_argument("--rank-timeout-seconds", type=float, default=300.0)
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)

    from workers.stop import StopFlag

    stop = StopFlag()
    stop.install()  # before torch loads: a signal in those seconds must not be lost
    try:
        return _work(options, arguments, stop)
    except TausweepError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def _work(options: argparse.Namespace, arguments: list[str], stop: StopFlag) -> int:
    import torch

    from storage.layout import RunDirectory
    from workers.execute import WorkerOptions, work
    from workers.follower import follow
    from workers.process_group import Place, rank_device
    from workers.team import make_team

    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    place = Place.from_environment(os.environ)
    if place is not None or options.processes > 1:
        device = rank_device(device, place.local_rank if place else 0)
    timeout = options.rank_timeout_seconds
    if place is not None and place.rank > 0:
        return follow(place, device=device, timeout_seconds=timeout, parent=options.parent)
    team = make_team(
        processes=options.processes,
        device=device,
        timeout_seconds=timeout,
        place=place,
        arguments=arguments,
    )
    worker_options = WorkerOptions(
        device=device,
        heartbeat_seconds=options.heartbeat_seconds,
        checkpoint_seconds=options.checkpoint_seconds,
        parent=options.parent,
        job_id=options.job_id,
    )
    with team:
        finished = work([RunDirectory(path.resolve()) for path in options.runs], stop, worker_options, team)
        code = 0 if finished else EXIT_REQUEUE
        team.end(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
