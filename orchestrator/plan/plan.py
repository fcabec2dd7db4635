"""The plan: a sweep's grid minus what the store has.

Made from files alone: no scheduler is asked but by `with_jobs`. Writes nothing to the store, loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.staging import ImageSet, identify
from tausweep.orchestrator.executors.job_records import given_jobs, living_runs
from tausweep.orchestrator.plan.parameter_counts import network_key, parameter_counts
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import Sweep
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.records import RunState
from tausweep.storage.attempts.status import RunStatus, run_status
from tausweep.storage.errors import CorruptFileError, InputError
from tausweep.storage.files.object_store import each
from tausweep.storage.files.records import read_record
from tausweep.storage.layout import StoreLayout
from tausweep.workers.inputs import open_spec


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a plan: its spec, its parameter count p and what the store says of it.

    The run_id of a draft, whose images are not in the store yet, is empty.
    """

    spec: RunSpec
    run_id: str
    p: int
    status: RunStatus

    @property
    def settings(self) -> dict[str, Any]:
        """Flat settings, with p and state beside them for filters and tables."""
        return {**self.spec.settings(), "p": self.p, "state": self.status.state}

    @property
    def cost(self) -> float:
        """Relative cost of the whole run: images through the network times its size."""
        return float(self.spec.training.steps) * self.spec.batch_size * self.p

    @property
    def steps_left(self) -> int:
        """Optimiser updates still to do."""
        return 0 if self.status.state == "succeeded" else max(0, self.spec.training.steps - self.status.tau)

    @property
    def cost_left(self) -> float:
        """Relative cost of what is left of the run."""
        if self.status.state == "succeeded":
            return 0.0
        return self.cost * (1 - min(self.status.tau, self.spec.training.steps) / self.spec.training.steps)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep's runs and where they stand.

    Attributes:
        sweep: the sweep's name.
        axes: names of its axes.
        runs: its runs, in the order of the grid.
        images: image sets to prepare; empty for a plan made from a store.
        resources: what it may use.
        source: path of the sweep file.
        executor: to which it was handed last, or is now.
        criteria: names of the criteria that the sweep file states; empty for the usual ones.
        lacking: what must be brought before it can be executed, each with the command that brings it.
    """

    sweep: str
    axes: list[str]
    runs: list[PlannedRun]
    images: list[ImageSet]
    resources: Resources
    source: str
    executor: str = "local"
    criteria: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    def require_complete(self) -> None:
        """Check that nothing is lacking.

        Raises:
            InputError: images are not prepared, or a package is not installed; says which commands bring them.
        """
        if self.lacking:
            raise InputError("\n".join(self.lacking))

    def count(self, *states: RunState) -> int:
        """How many runs are in one of these states."""
        return sum(run.status.state in states for run in self.runs)

    @property
    def steps_left(self) -> int:
        """Optimiser updates still to do."""
        return sum(run.steps_left for run in self.runs)

    @property
    def images_left(self) -> int:
        """Training images still to go through the networks, an image as often as it does."""
        return sum(run.steps_left * run.spec.batch_size for run in self.runs)

    @property
    def remarks(self) -> list[str]:
        """What to tell of runs that do otherwise than may be expected; each once."""
        return list(dict.fromkeys(remark for run in self.runs for remark in run.spec.remarks))


def make_plan(sweep: Sweep, layout: StoreLayout) -> Plan:
    """Expand a sweep and look up what the store has of it.

    Images that are not prepared and packages that are not installed are named in `Plan.lacking`.

    Raises:
        SweepFileError, DataError: the sweep can't be run as it is written.
    """
    lacking: list[str] = []
    specs, images = identify(expand(sweep), sweep.folder, layout, lacking)
    return Plan(
        sweep=sweep.name,
        axes=sweep.axes,
        runs=_planned(specs, layout),
        images=images,
        resources=sweep.resources,
        source=sweep.source.name,
        criteria=sweep.criteria,
        lacking=tuple(lacking),
    )


def stored_plan(name: str, layout: StoreLayout) -> Plan:
    """The plan of a sweep that was submitted to this store before, without its file.

    Raises:
        StoreError: its record or a spec cannot be read.
    """
    record = read_record(layout.sweep(name), "run_ids", "axes", "resources", "source")
    specs = list(each(layout.root, lambda run_id: open_spec(layout.run(run_id)), record["run_ids"]))
    return Plan(
        sweep=name,
        axes=record["axes"] or _differing(specs),  # records of points without a grid once had no axes
        runs=_planned(specs, layout),
        images=[],
        resources=Resources.parse(record["resources"]),
        source=record["source"],
        executor=record.get("executor", "local"),  # stores of before there was another
        criteria=_stored_criteria(record, layout.sweep(name)),
    )


def _stored_criteria(record: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    criteria = record.get("criteria", [])
    if not isinstance(criteria, list) or not all(isinstance(name, str) for name in criteria):
        raise CorruptFileError(
            f"{path}: criteria = {criteria!r}: not a list of names; run the sweep file again"
        )
    return tuple(criteria)


def _differing(specs: Sequence[RunSpec]) -> list[str]:
    """Settings that differ between runs."""
    settings = [spec.settings() for spec in specs]
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]


def _planned(specs: Sequence[RunSpec], layout: StoreLayout) -> list[PlannedRun]:
    counts = parameter_counts(specs, layout)
    run_ids = ["" if spec.is_draft else spec.run_id for spec in specs]

    def look(run_id: str) -> RunStatus:
        return run_status(layout.run(run_id)) if run_id else RunStatus(run_id="", state="pending")

    states = each(layout.root, look, run_ids)
    return [
        PlannedRun(spec=spec, run_id=run_id, p=counts[network_key(spec)], status=state)
        for spec, run_id, state in zip(specs, run_ids, states, strict=True)
    ]


def with_jobs(runs: Iterable[PlannedRun], sweep: str, layout: StoreLayout) -> list[PlannedRun]:
    """Runs with what their jobs add: those that wait in one are submitted, and the scheduler's own word.

    Asks the schedulers. For who shows or changes where runs stand; results need the store alone.
    """
    jobs = given_jobs(sweep, layout)
    living = living_runs(jobs)
    words = {run_id: job.word for job in jobs for run_id in job.run_ids}

    def seen(run: PlannedRun) -> PlannedRun:
        change: dict[str, str] = {}
        if run.status.state == "pending" and run.run_id in living:
            change["state"] = "submitted"
        if run.status.state != "succeeded" and (word := words.get(run.run_id)):
            change["scheduler_state"] = word
        return replace(run, status=run.status.model_copy(update=change))

    return [seen(run) for run in runs]
