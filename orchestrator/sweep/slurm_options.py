"""What a sweep asks of SLURM: the section `resources: slurm:`, or a site's profile."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tausweep.storage.errors import SettingError, nearest

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_FLAG = re.compile(r"[a-z][a-z0-9-]*")
_OURS = {
    "array": "tausweep sets it from the runs",
    "output": "output goes into the store",
    "error": "output goes into the store",
    "open-mode": "output goes into the store",
    "signal": "use warn_seconds",
    "requeue": "jobs are requeued",
    "no-requeue": "jobs are requeued",
    "ntasks": "use processes and nodes",
    "ntasks-per-node": "use processes and nodes",
    "nodes": "use nodes",
    "time": "use time",
    "partition": "use partition",
    "account": "use account",
    "qos": "use qos",
    "constraint": "use constraint",
    "mem": "use mem",
    "cpus-per-task": "use cpus",
    "gpus-per-node": "use gpus",
    "job-name": "it is the sweep's name",
}


def minutes(time: str) -> int:
    """A time limit in SLURM's forms (M, M:S, H:M:S, D-H, D-H:M, D-H:M:S), in minutes, rounded up.

    Raises:
        ValueError: it has another form, or is zero.
    """
    match = _TIME.fullmatch(time)
    if match is None:
        raise ValueError(time)
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, mins, seconds = [*parts, 0, 0][:3]
        hours += 24 * int(match["days"])
    elif len(parts) == 3:
        hours, mins, seconds = parts
    else:
        hours, (mins, seconds) = 0, [*parts, 0][:2]
    total = -(-(hours * 3600 + mins * 60 + seconds) // 60)
    if total < 1:
        raise ValueError(time)
    return total


def _time(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    try:
        return minutes(text) and text if isinstance(text, str) else value
    except ValueError:
        raise PydanticCustomError(
            "time", "a time limit is needed: minutes, H:M:S or D-H:M:S, such as 4:00:00 or 1-12:00:00"
        ) from None


def _flags(value: object) -> object:
    if not isinstance(value, dict):
        raise PydanticCustomError("sbatch", "a mapping of long options is needed, such as {exclude: node7}")
    found = {}
    for name, given in value.items():
        flag = str(name).replace("_", "-").removeprefix("--")
        if flag in _OURS:
            raise PydanticCustomError(
                "sbatch", "{flag} can't be set here: {why}", {"flag": flag, "why": _OURS[flag]}
            )
        if not _FLAG.fullmatch(flag):
            raise PydanticCustomError("sbatch", "{flag} is not a long option of sbatch", {"flag": flag})
        if given is False or isinstance(given, list | dict) or given is None or "\n" in str(given):
            raise PydanticCustomError("sbatch", "{flag} needs a word, a number or true", {"flag": flag})
        found[flag] = given
    return found


Word = Annotated[str, Field(pattern=r"^[^\s]+$")]
Line = Annotated[str, Field(min_length=1)]


class SlurmOptions(BaseModel):
    """Resources of each SLURM job of a sweep.

    Attributes:
        partition, account, qos, constraint: as sbatch takes them; None for the site's default.
        time: limit of a job; a run that needs more is continued by the requeued job.
        nodes: over which `processes` are spread evenly.
        gpus: of a job, over all its nodes; None for none.
        cpus: of each process; None for as many as `threads`.
        mem: of each node, such as 16G.
        runs_per_job: runs that a job executes, one after the other.
        warn_seconds: before the time limit at which SLURM signals the job, or up to half a minute earlier; None for 60,
            and less where the limit is below ten minutes. The worker's own budget usually ends it before.
        margin_seconds: kept free between the worker's budget and the time limit.
        setup: shell commands before the worker, such as `module load cuda`.
        python: command that starts Python for the worker, such as `apptainer exec --nv tausweep.sif python3`; None
            for the Python that submits.
        sbatch: any other long option of sbatch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Line | None = None
    time: Annotated[str, BeforeValidator(_time)] = "1:00:00"
    nodes: Annotated[int, Field(ge=1, le=4096)] = 1
    gpus: Annotated[int, Field(ge=1, le=32768)] | None = None
    cpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    mem: Annotated[str, Field(pattern=r"^[0-9]+[KMGT]?B?$")] | None = None
    runs_per_job: Annotated[int, Field(ge=1)] = 1
    warn_seconds: Annotated[int, Field(ge=1)] | None = None
    margin_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    setup: tuple[Line, ...] = ()
    python: Line | None = None
    sbatch: Annotated[dict[str, str | int | float | bool], BeforeValidator(_flags)] = {}

    @property
    def minutes(self) -> int:
        """The time limit in minutes, as SLURM rounds it."""
        return minutes(self.time)

    @property
    def warning(self) -> int:
        """Seconds before the time limit at which SLURM signals the job."""
        return self.warn_seconds or min(60, 6 * self.minutes)

    @classmethod
    def parse(cls, values: object, prefix: str = "slurm.") -> Self:
        """Build from what a sweep file or a profile says.

        Raises:
            SettingError: a field is unknown or out of range; its name begins with the prefix.
        """
        if not isinstance(values, dict):
            raise SettingError(
                prefix.rstrip("."), values, "a mapping (field: value) is needed, such as {partition: gpu}"
            )
        for name, value in values.items():
            if name not in cls.model_fields:
                raise SettingError(
                    f"{prefix}{name}", value, f"no such field; {nearest(str(name), cls.model_fields)}"
                )
            if isinstance(value, bool):
                raise SettingError(
                    f"{prefix}{name}", value, "a number or a word is needed, not a truth value"
                )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first: Any = error.errors()[0]
            raise SettingError(f"{prefix}{first['loc'][0]}", first["input"], first["msg"]) from error
