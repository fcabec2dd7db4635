"""How long the rest of a sweep will take, from the speed of earlier runs of the same shape in the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.plan.plan import PlannedRun
from tausweep.storage.attempts.records import read_attempt
from tausweep.storage.errors import StoreError
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import StoreLayout
from tausweep.workers.inputs import open_spec

_LOOKED_AT = 500  # runs: a store of ten thousand has measured enough in its first hundreds
_SHORTEST_SECONDS = 1.0  # of an attempt that tells a speed


@dataclass(frozen=True, kw_only=True)
class TimeLeft:
    """Work that is left.

    Attributes:
        hours: wall-clock hours of all jobs together, for the runs whose speed is known; None if no speed is.
        measured: runs whose speed is known from earlier ones.
        unknown: runs that no earlier run resembles.
    """

    hours: float | None
    measured: int
    unknown: int


def estimate(runs: Sequence[PlannedRun], layout: StoreLayout) -> TimeLeft:
    """Estimate what runs will take.

    A run is like an earlier one if its parameter count p, its batch and the network evaluations that its samples take
    are the same. Evaluations are in the speed, so that runs which evaluate more often than those before are
    underestimated.

    Args:
        runs: those to do.
        layout: the store; of its runs the first hundreds are looked at.
    """
    rates = _rates(layout)
    seconds, unknown = 0.0, 0
    for run in runs:
        known = rates.get(_shape(run.p, run.spec))
        left = run.spec.training.steps - min(run.status.tau, run.spec.training.steps)
        if known:
            seconds += left / median(known)
        else:
            unknown += 1
    measured = len(runs) - unknown
    return TimeLeft(hours=seconds / 3600 if measured else None, measured=measured, unknown=unknown)


def _shape(p: int, spec: RunSpec) -> tuple[int, int, int]:
    """What a run's speed depends on: p, the batch, and what sampling takes: ancestral may take longer than training."""
    return p, spec.batch_size, spec.evaluation.samples * spec.evaluation.ddim_steps


def _rates(layout: StoreLayout) -> dict[tuple[int, int, int], list[float]]:
    """Shape → steps per second of attempts that ended by themselves."""
    rates = defaultdict(list)
    for run_id in layout.run_ids()[:_LOOKED_AT]:
        run = layout.run(run_id)
        numbers = run.attempt_numbers()
        if not numbers:
            continue
        try:
            last = read_attempt(run, numbers[-1])
            p = int(read_record(run.spec, "p")["p"])
            shape = _shape(p, open_spec(run))
        except StoreError:  # `status` and `store check` name what is wrong with it
            continue
        steps = (last.tau or 0) - (last.resumed_from_tau or 0)
        seconds = (last.ended or last.started) - last.started
        if steps > 0 and seconds >= _SHORTEST_SECONDS:
            rates[shape].append(steps / seconds)
    return rates
