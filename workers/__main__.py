"""The worker's entry point, which every executor launches: `python -m tausweep.workers RUN_DIRECTORY…`.

`@FILE` stands for a file of run directories, one per line. Exit codes: 0 if all is done; 75 (EX_TEMPFAIL) if
asked to stop or out of time, which means "requeue me"; anything else is a fault of the worker itself, not of
a run. With torchrun's environment variables, or with --processes, several ranks train each run (see
`workers.ranks.team`). Long-lived processes such as Ray's call `main` repeatedly, so loaded modules stay.
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
        arguments: the command line; by default that of the process.
        stop: a flag that the caller sets, who then also handles signals; by default signals of this process
            set a flag.

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
            stop.install()  # before torch loads: a signal in these seconds must not be lost
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
    if torch.get_num_interop_threads() != 1:  # can be set only once per process
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
