"""The worker's entry point, the one thing every executor launches: `python -m tausweep.workers RUN_DIRECTORY…`.

A file of run directories, one a line, is given as `@FILE`. Exit codes: 0 all done; 75 (EX_TEMPFAIL) asked to stop or
out of time, requeue me; anything else is a fault of the worker itself, not of a run. Where torchrun's environment gives
the process a place among others, or with --processes, each run is trained by several ranks (see `workers.ranks.team`).
A process that outlives a worker, as Ray's do, calls `main` again and again: what is loaded stays.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import location
from tausweep.workers.stop import EXIT_REQUEUE, StopFlag


def main(arguments: list[str] | None = None, stop: StopFlag | None = None) -> int:
    """Parse the command line and work.

    Args:
        arguments: the command line; that of the process by default.
        stop: set by the caller, whose matter signals are then; by default signals of this process set a flag.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tausweep.workers")
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
    parser.add_argument("--processes", type=int, default=1, help="ranks that train each run together")
    parser.add_argument("--rank-timeout-seconds", type=float, default=300.0)
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="leave runs that others execute or that wait for their next try",
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    if stop is None:
        stop = StopFlag(options.wall_seconds)
        stop.install()  # before torch loads: a signal in those seconds must not be lost
    try:
        return _work(options, arguments, stop)
    except KeyboardInterrupt:  # a second SIGINT, outside of any attempt
        return EXIT_REQUEUE
    except TausweepError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def _work(options: argparse.Namespace, arguments: list[str], stop: StopFlag) -> int:
    import torch

    from tausweep.storage.attempts.records import RetryPolicy
    from tausweep.storage.layout import RunDirectory
    from tausweep.workers.checkpointing import CheckpointPolicy
    from tausweep.workers.execute import WorkerOptions, work
    from tausweep.workers.ranks.follower import follow
    from tausweep.workers.ranks.process_group import Place, rank_device
    from tausweep.workers.ranks.team import make_team

    torch.set_num_threads(options.threads)
    if torch.get_num_interop_threads() != 1:  # may be set only once in a process
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
    keep = options.keep_checkpoints
    worker_options = WorkerOptions(
        device=device,
        heartbeat_seconds=options.heartbeat_seconds,
        checkpoints=CheckpointPolicy(
            seconds=options.checkpoint_seconds,
            steps=options.checkpoint_steps,
            keep=keep if keep == "evaluations" else tuple(int(tau) for tau in keep.split(",") if tau),
        ),
        retries=RetryPolicy(max_attempts=options.max_attempts, retry_seconds=options.retry_seconds),
        parent=options.parent,
        job_id=options.job_id,
        wait=not options.no_wait,
    )
    runs = [RunDirectory(location(path).resolve()) for path in _listed(options.runs)]
    with team:
        code = 0 if work(runs, stop, worker_options, team) else EXIT_REQUEUE
        team.end(code)
    return code


def _listed(given: list[str]) -> Iterator[str]:
    for argument in given:
        if argument.startswith("@"):
            yield from location(argument[1:]).read_text().splitlines()
        else:
            yield argument


if __name__ == "__main__":
    sys.exit(main())
