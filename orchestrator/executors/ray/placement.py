"""Where a run may be placed on a Ray cluster, from its resources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tausweep.orchestrator.executors.ray import cluster as ray_cluster
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.errors import SettingError


def parameters(resources: Resources) -> dict[str, Any]:
    """Resources as the options of a Ray task, for each process of a run.

    Mapped: ray.cpus or threads (num_cpus), ray.gpus, ray.memory, ray.custom, ray.accelerator, ray.strategy,
    and max_attempts (max_retries). By the driver: workers (runs at once), processes (ranks of Ray Train),
    ray.runs_per_task. By the Ray job: ray.address, ray.environment, ray.python, ray.stop_seconds; by the
    check before it: ray.fit. For the worker's command line: all other fields. Refused: a device with a
    number. Not of Ray: slurm.

    Raises:
        SettingError: the combination is not possible for a task.
    """
    options = resources.ray
    if ":" in resources.device:
        raise SettingError("device", resources.device, "Ray chooses the GPU; write cuda and set ray.gpus")
    if options.gpus is not None and resources.device == "cpu":
        raise SettingError("ray.gpus", options.gpus, "device = cpu needs no GPU")
    if options.gpus is None and resources.device == "cuda":
        raise SettingError("device", resources.device, "ray.gpus must say how many GPUs each process gets")
    if options.gpus is None and options.accelerator is not None:
        raise SettingError(
            "ray.accelerator", options.accelerator, "ray.gpus must say how many GPUs each process gets"
        )
    if options.gpus is not None and options.gpus > 1:
        raise SettingError("ray.gpus", options.gpus, "a process uses only one GPU; use processes for more")
    if options.gpus is not None and options.gpus < 1 and resources.processes > 1:
        raise SettingError(
            "ray.gpus", options.gpus, f"processes = {resources.processes} need a whole GPU each"
        )
    if resources.processes > 1 and options.accelerator is not None:
        raise SettingError("ray.accelerator", options.accelerator, "allowed only if one process trains a run")
    settings = {
        "num_cpus": float(resources.threads) if options.cpus is None else options.cpus,
        "num_gpus": options.gpus,
        "memory": options.memory_bytes,
        "resources": dict(options.custom) or None,
        "accelerator_type": options.accelerator,
        "scheduling_strategy": options.strategy,
        # An execution that Ray repeats is one of our attempts, so Ray must not repeat more often than we do.
        "max_retries": resources.max_attempts - 1,
    }
    return {name: value for name, value in settings.items() if value is not None}


def bundle(resources: Resources) -> dict[str, float]:
    """The resources of each process of a run, by Ray's names."""
    options = parameters(resources)
    named = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus"), "memory": options.get("memory")}
    amounts = {name: float(value) for name, value in named.items() if value is not None}
    if resources.ray.accelerator is not None:
        amounts[f"accelerator_type:{resources.ray.accelerator}"] = 0.001  # as Ray itself does
    return amounts | resources.ray.custom


@dataclass(frozen=True, kw_only=True)
class ClusterRoom:
    """The state of a cluster before a submission.

    Attributes:
        dashboard: its address, http(s)://HOST:PORT.
        places: processes that it can hold at once now.
        warning: what the user should correct, if anything.
    """

    dashboard: str
    places: int
    warning: str | None


def require_place(resources: Resources) -> ClusterRoom:
    """Check that the cluster can execute a run, and whether it is safe to use.

    Raises:
        SettingError: a field conflicts with others, or no node of the cluster has what it asks for.
        TausweepError: there is no cluster, or it does not answer.
    """
    each = bundle(resources)
    cluster = ray_cluster.client(resources.ray.address)
    dashboard = cluster.get_address()
    nodes = ray_cluster.nodes(dashboard)
    room = ray_cluster.places(nodes, each)
    if room < resources.processes and resources.ray.fit == "present":
        raise _no_place(resources, each, nodes, room)
    return ClusterRoom(dashboard=dashboard, places=room, warning=ray_cluster.exposure(cluster))


def _no_place(
    resources: Resources, each: dict[str, float], nodes: Sequence[ray_cluster.Node], room: int
) -> SettingError:
    has = f"the cluster has {'; '.join(map(str, nodes))}. If an autoscaler adds nodes: ray.fit = later"
    if room:
        problem = f"{ray_cluster.describe(each)} are needed for each, and there is room for {room}; {has}"
        return SettingError("processes", resources.processes, problem)
    fields = {"CPU": "ray.cpus" if resources.ray.cpus is not None else "threads", "GPU": "ray.gpus"}
    fields |= {"memory": "ray.memory"}
    for name, amount in each.items():
        if not ray_cluster.places(nodes, {name: amount}):
            field = (
                "ray.accelerator"
                if name.startswith("accelerator_type:")
                else fields.get(name, f"ray.custom.{name}")
            )
            value = resources.ray.accelerator if field == "ray.accelerator" else amount
            value = resources.ray.memory if field == "ray.memory" else value
            return SettingError(field, value, f"no node has that much; {has}")
    return SettingError("ray", ray_cluster.describe(each), f"no node has all of this; {has}")
