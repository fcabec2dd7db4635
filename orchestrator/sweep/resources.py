"""What a sweep may use of the machine; none of it changes a result, so none of it is part of a run's identity."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tausweep.orchestrator.sweep.ray_options import RayOptions
from tausweep.orchestrator.sweep.slurm_options import SlurmOptions
from tausweep.storage.errors import SettingError, nearest


def _checkpoints_to_keep(value: object) -> object:
    steps = [value] if isinstance(value, int) else value  # one value of the command line
    if value == "evaluations" or (
        isinstance(steps, list | tuple)
        and all(isinstance(step, int) and not isinstance(step, bool) and step >= 1 for step in steps)
    ):
        return steps
    raise PydanticCustomError("keep", 'a list of steps, such as [100, 1000], or "evaluations" is needed')


class Resources(BaseModel):
    """Resources of a sweep.

    Attributes:
        workers: worker processes at once; None for as many as the cores hold.
        processes: ranks that train a run together; the last bits of a result depend on it.
        threads: CPU threads a process; on the CPU the last bits of a result depend on it.
        device: auto, cpu, cuda, cuda:0, …
        checkpoint_seconds: seconds between two checkpoints of a run, more where saving is slow; None for no such ones.
        checkpoint_steps: optimiser updates between two checkpoints of a run; None for no such ones.
        keep_checkpoints: steps whose checkpoints are saved and kept besides the two newest; "evaluations" for those
            that are evaluated.
        wall_seconds: how long a worker may last before it checkpoints and is started again; None for no end.
        max_attempts: attempts lost in a row, none of which got further, after which a run has failed.
        retry_seconds: wait after the first of them; doubled after each further one.
        heartbeat_seconds: seconds between two signs of life of a worker.
        rank_timeout_seconds: how long a rank waits for another before the attempt fails as `lost_worker`.
        slurm: what jobs of SLURM ask for beside all this.
        ray: what tasks of Ray ask for beside all this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    processes: Annotated[int, Field(ge=1, le=4096)] = 1
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 60.0
    checkpoint_steps: Annotated[int, Field(ge=1)] | None = None
    keep_checkpoints: Annotated[
        tuple[int, ...] | Literal["evaluations"], BeforeValidator(_checkpoints_to_keep)
    ] = ()
    wall_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_attempts: Annotated[int, Field(ge=1)] = 3
    retry_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    heartbeat_seconds: Annotated[float, Field(gt=0, le=20)] = 2.0
    rank_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
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
