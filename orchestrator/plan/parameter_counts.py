"""The parameter counts p of networks, without loading torch where a count is known already.

Called by the plan. A count is known from a stored run of the same network, or from this user's cache; what is left is
counted once by a process that loads torch and diffusers, some seconds of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import StoreError, TausweepError
from tausweep.storage.files.records import read_record, write_record
from tausweep.storage.layout import StoreLayout, parameter_count


def network_key(spec: RunSpec) -> str:
    """All that a run's network depends on, as JSON."""
    model = spec.model.model_dump(mode="json")
    request = {"settings": model, "shape": spec.data.shape, "classes": spec.classes}
    return json.dumps(request, sort_keys=True)


def parameter_counts(specs: Iterable[RunSpec], layout: StoreLayout) -> dict[str, int]:
    """The p of every network among runs.

    Args:
        specs: the runs.
        layout: the store, of whose runs p is read.

    Returns:
        p by `network_key`.

    Raises:
        TausweepError: counting failed.
    """
    counts: dict[str, int] = {}
    wanted: set[str] = set()
    for spec in specs:
        key = network_key(spec)
        wanted.add(key)
        if key in counts or spec.is_draft:
            continue
        stored = layout.run(spec.run_id).spec
        if stored.exists():
            counts[key] = read_record(stored, "p")["p"]
    for key in wanted - counts.keys():
        if (p := _remembered(key)) is not None:
            counts[key] = p
    missing = sorted(wanted - counts.keys())
    if missing:
        counted = dict(zip(missing, count_parameters(missing), strict=True))
        for key, p in counted.items():
            _remember(key, p)
        counts |= counted
    return counts


def count_parameters(keys: Sequence[str]) -> list[int]:
    """Ask `python -m tausweep.jobs.models.count` for p, on the meta device.

    Raises:
        TausweepError: the process failed; with the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tausweep.jobs.models.count"],
        input=f"[{','.join(keys)}]",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TausweepError(f"counting the parameters failed:\n{done.stderr[-2000:]}")
    return [int(count) for count in json.loads(done.stdout)]


def _place(key: str) -> Path:
    # Another version of what builds networks may build others.
    builders = [version(package) for package in ("tausweep", "torch", "diffusers")]
    name = hashlib.sha256(json.dumps([key, *builders]).encode()).hexdigest()[:20]
    return parameter_count(name)


def _remembered(key: str) -> int | None:
    try:
        record = read_record(_place(key), "network", "p")
    except (OSError, StoreError):  # not there, or no longer whole: it is counted
        return None
    return int(record["p"]) if record["network"] == key else None


def _remember(key: str, p: int) -> None:
    try:
        write_record(_place(key), {"network": key, "p": p})
    except OSError:  # a home that is full or read-only costs seconds the next time, and nothing now
        return
