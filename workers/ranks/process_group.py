"""How the ranks of one run connect and communicate: torch.distributed, gloo on CPUs and NCCL on CUDA.

A rank knows its place from the environment variables of torchrun; `workers.ranks.team` sets the same for the
ranks it starts. Which runs are trained, and what happens when a rank fails, is decided elsewhere.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from tausweep.jobs.ranks import Ranks, share_dropout
from tausweep.storage.errors import InputError

T = TypeVar("T")

START_SECONDS = 300.0
"""How long ranks may take to start: loading torch from a shared disk takes minutes where many do."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process's place among the ranks of a run, as in torchrun's environment."""

    rank: int
    size: int
    local_rank: int
    address: str
    port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Read RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; None if the process works alone.

        Raises:
            InputError: some of them are set and others are not, or one is not a number.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        variables = {name: environment[name] for name in names if environment.get(name)}
        if variables.get("WORLD_SIZE", "1") == "1":
            return None
        if missing := [name for name in names if name not in variables]:
            raise InputError(
                f"WORLD_SIZE = {variables['WORLD_SIZE']!r}: {', '.join(missing)} must be set in the environment too, "
                "as torchrun does"
            )
        for name in names:
            if name != "MASTER_ADDR" and not variables[name].isdecimal():
                raise InputError(f"{name} = {variables[name]!r}: an integer is needed in the environment")
        return cls(
            rank=int(variables["RANK"]),
            size=int(variables["WORLD_SIZE"]),
            local_rank=int(variables["LOCAL_RANK"]),
            address=variables["MASTER_ADDR"],
            port=int(variables["MASTER_PORT"]),
        )

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


def rank_device(device: torch.device, local_rank: int) -> torch.device:
    """The device of a rank: one GPU each, by the rank's number on its host.

    Raises:
        InputError: the host has too few GPUs, or the device has a number.
    """
    if device.type != "cuda":
        return device
    if ":" in str(device):
        raise InputError(f"device = {device}: several processes cannot share one GPU; write cuda")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise InputError(
            f"device = cuda: this host has {count} GPUs, and process {local_rank + 1} needs one too"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def find_store(place: Place) -> Store:
    """The key-value store that rank 0, or torchrun, serves at the group's address.

    If the group exists already, as with Ray Train, this only connects to its store.
    """
    if distributed.is_initialized():
        return distributed.TCPStore(  # type: ignore[attr-defined] # public, but missing in torch's own types
            place.address,
            place.port,
            is_master=False,
            wait_for_workers=False,
            timeout=timedelta(seconds=START_SECONDS),
        )
    url = f"tcp://{place.address}:{place.port}?rank={place.rank}&world_size={place.size}"
    store, _, _ = next(rendezvous(url, timeout=timedelta(seconds=START_SECONDS)))
    return cast(Store, store)


class GroupRanks(Ranks):
    """Ranks that communicate through torch.distributed.

    Attributes:
        store: for messages outside the order of collectives (see `workers.ranks.team`).
        device: where this rank computes.
    """

    def __init__(self, place: Place, store: Store, device: torch.device, timeout_seconds: float) -> None:
        """Join the group unless it exists already; waits for the other ranks.

        Args:
            place: this process's place among the ranks.
            store: see `find_store`.
            device: where this rank computes.
            timeout_seconds: how long one rank waits for another before it is taken for lost.
        """
        self.rank, self.size = place.rank, place.size
        self.store, self.device = store, device
        if not distributed.is_initialized():
            distributed.init_process_group(
                backend="cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=store,
                rank=place.rank,
                world_size=place.size,
                timeout=timedelta(seconds=timeout_seconds),
            )
        self._flags = torch.zeros(1, dtype=torch.uint8)

    @staticmethod
    def leave() -> None:
        """Leave the group, if there is one: its threads sometimes abort the process at exit."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def wrap(self, network: nn.Module, batch: int) -> nn.Module:
        """The network under DistributedDataParallel, with the dropout masks of the whole batch."""
        share_dropout(network, self.rows(batch), batch)
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=device_ids, gradient_as_bucket_view=True)

    def mean(self, losses: Tensor, batch: int) -> Tensor:
        """See `Ranks.mean`."""
        share, first = self.share(batch), self.rows(batch).start
        return losses[share.start - first : share.stop - first].sum() * (self.size / batch)

    def average(self, values: Tensor) -> Tensor:
        """See `Ranks.average`."""
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.size

    def gather(self, share: Tensor, count: int) -> Tensor:
        """See `Ranks.gather`."""
        parts = []
        for rank in range(self.size):  # shares may differ in length, which all_gather does not allow
            rows = self.share(count, rank)
            shape = (rows.stop - rows.start, *share.shape[1:])
            part = share.contiguous() if rank == self.rank else share.new_empty(shape)
            distributed.broadcast(part, src=rank)
            parts.append(part)
        return torch.cat(parts)

    def broadcast(self, value: T) -> T:
        """See `Ranks.broadcast`."""
        content = torch.empty(0, dtype=torch.uint8)
        if self.rank == 0:
            buffer = io.BytesIO()
            torch.save(value, buffer)
            content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        length = torch.tensor([len(content)])
        distributed.broadcast(length, src=0)
        if self.rank == 0:
            distributed.broadcast(content, src=0)
            return value
        content = torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(content, src=0)
        received: Any = torch.load(
            io.BytesIO(content.numpy().tobytes()), map_location=self.device, weights_only=True
        )
        return cast(T, received)

    def agree(self, first: bool, second: bool) -> tuple[bool, bool]:
        """See `Ranks.agree`."""
        self._flags[0] = 2 * first + second
        distributed.broadcast(self._flags, src=0)
        flags = int(self._flags)
        return bool(flags & 2), bool(flags & 1)


def ready_key(rank: int) -> str:
    """Key of the store that a rank sets once it has loaded torch."""
    return f"ready/{rank}"


def failure_key(rank: int) -> str:
    """Key of the store under which a rank reports why it ends, as JSON."""
    return f"failure/{rank}"


def report(ranks: GroupRanks, ending: dict[str, Any]) -> int:
    """Report why this rank ends; return the rank that reported first."""
    ranks.store.set(failure_key(ranks.rank), json.dumps(ending))
    return int(ranks.store.compare_set("first failure", "", str(ranks.rank)))
