"""Writes what workers need of a plan: images, specs and the sweep's record."""

from __future__ import annotations

import time

from tausweep.orchestrator.datasets.pixels import Progress
from tausweep.orchestrator.datasets.staging import stage
from tausweep.orchestrator.plan.plan import Plan, PlannedRun
from tausweep.storage.files.object_store import for_each
from tausweep.storage.files.records import read_record, write_new_record, write_record
from tausweep.storage.layout import StoreLayout


def prepare(plan: Plan, layout: StoreLayout, progress: Progress | None = None) -> None:
    """Write what workers need: images, specs and the sweep's record. Safe to repeat.

    Raises:
        DataError: an image cannot be read.
    """
    for images in plan.images:
        stage(images, layout, progress)

    def write_spec(run: PlannedRun) -> None:
        record = {"run_id": run.run_id, "p": run.p, "settings": run.spec.settings()}
        path = layout.run(run.run_id).spec
        if not path.exists():
            write_new_record(path, record)

    for_each(layout.root, write_spec, plan.runs, writes=True)
    sweep = {
        "name": plan.sweep,
        "source": plan.source,
        "axes": plan.axes,
        "run_ids": [run.run_id for run in plan.runs],
        "resources": plan.resources.model_dump(mode="json"),
        "executor": plan.executor,
        **({"criteria": list(plan.criteria)} if plan.criteria else {}),
    }
    path = layout.sweep(plan.sweep)
    if path.exists() and {k: v for k, v in read_record(path).items() if k != "updated"} == sweep:
        return
    write_record(path, {**sweep, "updated": time.time()})


def remember_executor(plan: Plan, layout: StoreLayout) -> None:
    """Keep with a stored sweep to which executor it is handed now, and with which resources."""
    path = layout.sweep(plan.sweep)
    record = read_record(path)
    present = {"executor": plan.executor, "resources": plan.resources.model_dump(mode="json")}
    if record | present != record:
        write_record(path, record | present)
