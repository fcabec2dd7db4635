"""The worker's entry point, the one thing every executor launches: `python -m tausweep.workers RUN_DIRECTORY…`.

A file of run directories, one per line, is given as `@FILE`. Exit codes: 0 all done; 75 (EX_TEMPFAIL) asked
to stop or out of time, requeue me; anything else is a fault of the worker itself, not of a run. Where
torchrun's environment gives the process a place among others, or with --processes, each run is trained by
several ranks (see `workers.ranks.team`). A process that outlives a worker, as Ray's do, calls `main` again
and again: what is loaded stays.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from tausweep.shadowing import require_no_shadow
from tausweep.storage.errors import TausweepError
from tausweep.storage.files.object_store import location
from tausweep.workers.options import WorkerOptions, add_flags, options_of
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
    add_flags(parser)
    flags = parser.parse_args(arguments)
    try:
        require_no_shadow()
        options = options_of(vars(flags))
        if stop is None:
            stop = StopFlag(options.wall_seconds)
            stop.install()  # before torch loads: a signal in those seconds must not be lost
        return _work(flags.runs, options, stop)
    except KeyboardInterrupt:  # a second SIGINT, outside of any attempt
        return EXIT_REQUEUE
    except TausweepError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def _work(listed: list[str], options: WorkerOptions, stop: StopFlag) -> int:
    import torch

    from tausweep.storage.layout import RunDirectory
    from tausweep.workers.execute import work
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
    if place is not None and place.rank > 0:
        return follow(
            place, device=device, timeout_seconds=options.rank_timeout_seconds, parent=options.parent
        )
    team = make_team(options, device=device, place=place, runs=listed)
    runs = [RunDirectory(location(path).resolve()) for path in _listed(listed)]
    with team:
        code = 0 if work(runs, stop, options, device, team) else EXIT_REQUEUE
        team.end(code)
    return code


def _listed(arguments: list[str]) -> Iterator[str]:
    for argument in arguments:
        if argument.startswith("@"):
            yield from location(argument[1:]).read_text().splitlines()
        else:
            yield argument


if __name__ == "__main__":
    sys.exit(main())
