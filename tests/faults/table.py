"""The table of faults: what was done, how often, what is expected and what was seen, as JSON and Markdown."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.kills import Kill

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- written by make faults -->", "<!-- until here -->"


@dataclass(frozen=True)
class Store:
    """One store that was hit by kills; `wrong` is empty if it equals the undisturbed one."""

    kills: list[Kill]
    wrong: list[str]


@dataclass(frozen=True)
class Row:
    """A fault that is no kill; `wrong` is None if all was as expected."""

    fault: str
    expected: str
    seen: str
    wrong: str | None


def write(stores: Sequence[Store], rows: Sequence[Row], *, seed: int, seconds: float) -> None:
    """Replace the table in docs/reliability.md, and write docs/faults.json."""
    page = DOCS / "reliability.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    record = summary(stores, rows, seed=seed, seconds=seconds)
    page.write_text(f"{before}{BEGIN}\n{markdown(record)}{END}{after}")
    (DOCS / "faults.json").write_text(json.dumps(record, indent=1) + "\n")


def summary(stores: Sequence[Store], rows: Sequence[Row], *, seed: int, seconds: float) -> dict[str, object]:
    """All that is told, as JSON knows it."""
    hit: dict[tuple[str, str], list[Store]] = {}
    for store in stores:
        for kill in store.kills:
            hit.setdefault((kill.name, kill.where), []).append(store)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores",
        "seed": seed,
        "minutes": round(seconds / 60, 1),
        "kills": sum(len(store.kills) for store in stores),
        "stores": len(stores),
        "equal_stores": sum(not store.wrong for store in stores),
        "by_kind": [
            {
                "fault": fault,
                "where": where,
                "kills": len(among),
                "in_equal_stores": sum(not store.wrong for store in among),
            }
            for (fault, where), among in sorted(hit.items())
        ],
        "others": [vars(row) for row in rows],
        "differences": [line for store in stores for line in store.wrong],
    }


def markdown(record: dict[str, object]) -> str:
    """The two tables of the page."""
    lines = [
        "{date}, {machine}, seed {seed}: {kills} kills in {stores} stores in {minutes} minutes; {equal_stores} of {stores} "
        "stores equal to the undisturbed one.".format(**record),
        "",
        "| fault | where | kills | of which in stores that became equal |",
        "|---|---|---|---|",
    ]
    for kind in record["by_kind"]:  # type: ignore[attr-defined]
        lines.append("| {fault} | {where} | {kills} | {in_equal_stores} |".format(**kind))
    lines += ["", "| fault | expected | seen |", "|---|---|---|"]
    for row in record["others"]:  # type: ignore[attr-defined]
        lines.append("| {fault} | {expected} | {seen} |".format(**row))
    return "\n".join(lines) + "\n"
