"""The options of a worker: defined once for sweep files, the worker's command line and the worker itself.

Executors pass the options as one JSON argument, `--options`; on a command line each is also a flag. Loads no
torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tausweep.storage.attempts.records import RetryPolicy
from tausweep.storage.errors import InputError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=4096)]
_RETRIES = RetryPolicy()


def _checkpoints_to_keep(value: object) -> object:
    steps = [value] if isinstance(value, int) else value  # a single value on the command line
    if value == "evaluations" or (
        isinstance(steps, list | tuple)
        and all(isinstance(step, int) and not isinstance(step, bool) and step >= 1 for step in steps)
    ):
        return steps
    raise PydanticCustomError("keep", 'a list of steps, such as [100, 1000], or "evaluations" is needed')


class WorkerResources(BaseModel):
    """The options that a sweep file may set; none changes a result, except for the last bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: Annotated[Count, Field(description="ranks that train each run together")] = 1
    threads: Annotated[Count, Field(description="CPU threads of each process")] = 1
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, …")
    ] = "auto"
    checkpoint_seconds: Annotated[
        Seconds | None,
        Field(description="seconds between two checkpoints of a run; none for no such checkpoints"),
    ] = 60.0
    checkpoint_steps: Annotated[
        Annotated[int, Field(ge=1)] | None, Field(description="updates between two checkpoints of a run")
    ] = None
    keep_checkpoints: Annotated[
        tuple[int, ...] | Literal["evaluations"],
        BeforeValidator(_checkpoints_to_keep),
        Field(description="`evaluations`, or steps separated by commas"),
    ] = ()
    wall_seconds: Annotated[
        Seconds | None,
        Field(description="save a checkpoint and end with code 75 before these seconds are over"),
    ] = None
    max_attempts: Annotated[
        int, Field(ge=1, description="attempts lost in a row after which a run has failed")
    ] = _RETRIES.max_attempts
    retry_seconds: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="seconds to wait after the first lost attempt, doubled after each",
        ),
    ] = _RETRIES.retry_seconds
    heartbeat_seconds: Annotated[float, Field(gt=0, le=20, description="seconds between two heartbeats")] = (
        2.0
    )
    rank_timeout_seconds: Annotated[
        Seconds, Field(description="seconds that a rank waits for another before it counts as lost")
    ] = 300.0


class WorkerOptions(WorkerResources):
    """All options of a worker."""

    job_id: Annotated[str | None, Field(description="the submission this worker belongs to")] = None
    parent: Annotated[int | None, Field(description="stop when this process is no longer the parent")] = None
    wait: Annotated[
        bool, Field(description="leave runs alone that others execute or that wait for their next attempt")
    ] = True

    @property
    def retries(self) -> RetryPolicy:
        """The retry policy if this worker is lost."""
        return RetryPolicy(max_attempts=self.max_attempts, retry_seconds=self.retry_seconds)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--options`, and a flag for every option: `wait` is `--no-wait`, all others take a value."""
    parser.add_argument(
        "--options", metavar="JSON", default="{}", help="all options as JSON; flags override them"
    )
    for name, field in WorkerOptions.model_fields.items():
        if field.annotation is bool:
            flag = f"--no-{name.replace('_', '-')}"
            parser.add_argument(
                flag, dest=name, action="store_false", default=argparse.SUPPRESS, help=field.description
            )
        else:
            parser.add_argument(
                f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, help=field.description
            )


def options_of(flags: Mapping[str, Any]) -> WorkerOptions:
    """Build a worker's options from its parsed command line.

    Args:
        flags: the parsed flags by name, see `add_flags`.

    Raises:
        InputError: a flag or a field of the JSON is unknown or out of range.
    """
    try:
        options = WorkerOptions.model_validate_json(flags["options"])
        words = {
            name: _value(name, word) for name, word in flags.items() if name in WorkerOptions.model_fields
        }
        return WorkerOptions.model_validate(options.model_dump() | words)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "options"
        raise InputError(f"--{name} {first['input']}: {first['msg']}") from error


def _value(name: str, word: object) -> object:
    """The value of a flag that pydantic cannot parse: "none", and lists."""
    if name == "checkpoint_seconds" and word in ("inf", "none"):
        return None
    if name == "keep_checkpoints" and isinstance(word, str) and word != "evaluations":
        steps = [step for step in word.split(",") if step]
        return [int(step) if step.isdecimal() else step for step in steps]
    return word
