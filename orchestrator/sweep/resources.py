"""What a sweep may use of the machine; none of it changes a result, so none of it is part of a run's identity."""

from __future__ import annotations

import os
from typing import Self

from pydantic import ValidationError, model_validator

from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.sweep.slurm_options import SlurmOptions
from tausweep.storage.errors import SettingError, nearest
from tausweep.workers.options import Count, WorkerResources


class Resources(WorkerResources):
    """Resources of a sweep: what its workers are told, and how many there are.

    Attributes:
        workers: worker processes at once; None for as many as the cores hold.
        slurm: what jobs of SLURM ask for beside all this.
        ray: what tasks of Ray ask for beside all this.
    """

    workers: Count | None = None
    slurm: SlurmOptions = SlurmOptions()
    ray: RayOptions = RayOptions()

    @model_validator(mode="after")
    def _a_device_each(self) -> Self:
        if self.processes > 1 and ":" in self.device:
            raise SettingError(
                "device", self.device, f"processes = {self.processes} need a GPU each; write cuda"
            )
        return self

    @classmethod
    def parse(cls, values: dict[str, object]) -> Self:
        """Build from what a sweep file says.

        Raises:
            SettingError: a field is unknown or out of range.
        """
        for name, value in values.items():
            if name not in cls.model_fields:
                raise SettingError(name, value, f"no such resource; {nearest(name, cls.model_fields)}")
            if isinstance(value, bool):
                raise SettingError(name, value, "a number or a word is needed, not a truth value")
        if "slurm" in values:
            values = values | {"slurm": SlurmOptions.parse(values["slurm"])}
        if "ray" in values:
            values = values | {"ray": RayOptions.parse(values["ray"])}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingError(str(first["loc"][0]), first["input"], first["msg"]) from error

    def require_cores(self, runs: int) -> None:
        """Check that this machine has the cores for so many runs.

        Raises:
            SettingError: runs of several processes need more than there are.
        """
        self.worker_count(runs)

    def worker_count(self, runs: int) -> int:
        """Workers to start for so many runs on this machine.

        Raises:
            SettingError: runs of several processes need more cores than there are.
        """
        # macOS can't tell which cores a process may use.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        each = self.processes * self.threads
        workers = max(1, min(runs, self.workers or cores // each))
        if self.processes > 1 and workers * each > cores:
            field = "processes" if each > cores else "workers"
            problem = (
                f"workers × processes × threads = {workers} × {self.processes} × {self.threads} cores are needed, "
                f"this machine has {cores}"
            )
            raise SettingError(field, getattr(self, field), problem)
        return workers
