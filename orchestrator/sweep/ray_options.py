"""What a sweep asks of Ray: the section `resources: ray:`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tausweep.storage.errors import SettingError, nearest

_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[KMGT])?(?:i?B)?")
_ADDRESS = re.compile(r"auto|(ray|https?)://[^\s/]+/?|[^\s/:]+:\d+")
_OURS = {"CPU": "use cpus", "GPU": "use gpus", "memory": "use memory"}


def size(text: str) -> int:
    """A size such as 512M or 4G, in bytes; units are powers of 1024.

    Raises:
        ValueError: it has another form, or is zero.
    """
    match = _SIZE.fullmatch(text)
    found = int(float(match["number"]) * _UNITS.get(match["unit"], 1)) if match else 0
    if found < 1:
        raise ValueError(text)
    return found


def _memory(value: object) -> object:
    try:
        return size(value) and value if isinstance(value, str) else value
    except ValueError:
        raise PydanticCustomError("memory", "a size is needed, such as 512M or 4G") from None


def _address(value: object) -> object:
    if isinstance(value, str) and not _ADDRESS.fullmatch(value):
        raise PydanticCustomError(
            "address", "auto, HOST:PORT, ray://HOST:PORT or the dashboard's http://HOST:PORT is needed"
        )
    return value


def _custom(value: object) -> object:
    if not isinstance(value, dict):
        raise PydanticCustomError("custom", "a mapping of Ray's custom resources is needed, such as {ssd: 1}")
    for name in value:
        if name in _OURS:
            raise PydanticCustomError(
                "custom", "{name} can't be set here: {why}", {"name": name, "why": _OURS[name]}
            )
    return value


# Ray counts in steps of 1/10,000, and takes parts of one unit or whole units only.
def _amount(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 1 and value != int(value):
        raise PydanticCustomError("amount", "Ray takes a part of one, such as 0.25, or a whole number")
    return value


Cpus = Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False), BeforeValidator(_amount)]
Amount = Annotated[float, Field(ge=0.0001, le=4096, allow_inf_nan=False), BeforeValidator(_amount)]
Word = Annotated[str, Field(pattern=r"^[^\s]+$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class RayOptions(BaseModel):
    """Resources of each Ray task of a sweep, which executes one run unless `runs_per_task` says otherwise.

    Attributes:
        address: of the cluster: auto, HOST:PORT, ray://HOST:PORT or the dashboard's http(s)://HOST:PORT; None for what
            RAY_API_SERVER_ADDRESS or RAY_ADDRESS says, else a cluster on this machine.
        cpus: of each process; None for as many as `threads`. Less than one is fine: 0.25 lets four runs share a core.
        gpus: of each process, 0.25 for a quarter; None for none.
        memory: of each process, such as 4G, which Ray counts and does not enforce; None for no such demand.
        custom: Ray's custom resources of each process, by name.
        accelerator: the kind of GPU, in Ray's words (A100, H100, …); None for any.
        strategy: how Ray spreads runs over nodes: DEFAULT or SPREAD.
        runs_per_task: runs that a task executes, one after the other, in one process.
        fit: present: refuse what no node can hold now; later: an autoscaler may bring such nodes.
        environment: names of variables that workers get as they are here, such as AWS_ACCESS_KEY_ID. Ray keeps their
            values where those who reach the cluster can read them.
        python: command that starts Python on the head node; None for the Python that submits.
        stop_seconds: what a cancelled job may take to save checkpoints before Ray kills it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, BeforeValidator(_address)] | None = None
    cpus: Cpus | None = None
    gpus: Amount | None = None
    memory: Annotated[str, BeforeValidator(_memory)] | None = None
    custom: Annotated[dict[Word, Amount], BeforeValidator(_custom)] = {}
    accelerator: Word | None = None
    strategy: Literal["DEFAULT", "SPREAD"] = "DEFAULT"
    runs_per_task: Annotated[int, Field(ge=1)] = 1
    fit: Literal["present", "later"] = "present"
    environment: tuple[Variable, ...] = ()
    python: Annotated[str, Field(min_length=1)] | None = None
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 60

    @property
    def memory_bytes(self) -> int | None:
        """Memory of each process in bytes."""
        return None if self.memory is None else size(self.memory)

    @classmethod
    def parse(cls, values: object) -> Self:
        """Build from what a sweep file says.

        Raises:
            SettingError: a field is unknown or out of range; its name begins with `ray.`.
        """
        if not isinstance(values, dict):
            raise SettingError("ray", values, "a mapping (field: value) is needed, such as {gpus: 0.25}")
        for name, value in values.items():
            if name not in cls.model_fields:
                raise SettingError(
                    f"ray.{name}", value, f"no such field; {nearest(str(name), cls.model_fields)}"
                )
            if isinstance(value, bool):
                raise SettingError(f"ray.{name}", value, "a number or a word is needed, not a truth value")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first: Any = error.errors()[0]
            raise SettingError(f"ray.{first['loc'][0]}", first["input"], first["msg"]) from error
