"""What a sweep may use of the machine; none of it changes a result, so none of it is part of a run's identity."""

from __future__ import annotations

import os
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import SettingError, nearest


class Resources(BaseModel):
    """Resources of a sweep.

    Attributes:
        workers: worker processes at once; None for as many as the cores hold.
        threads: CPU threads a worker; on the CPU the last bits of a result depend on it.
        device: auto, cpu, cuda, cuda:0, …
        checkpoint_seconds: seconds between two checkpoints of a run.
        heartbeat_seconds: seconds between two signs of life of a worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    heartbeat_seconds: Annotated[float, Field(gt=0, le=20)] = 2.0

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
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingError(str(first["loc"][0]), first["input"], first["msg"]) from error

    def worker_count(self, runs: int) -> int:
        """Workers to start for so many runs."""
        # macOS can't tell which cores a process may use.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        available = max(1, cores // self.threads)
        return max(1, min(runs, self.workers or available))
