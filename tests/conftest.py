"""What all tests share: skips that fail where everything must run, and real stores in a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.spec import RunSpec
from storage.atomic import write_record
from storage.layout import RunDirectory, StoreLayout

# Before anything loads torch: tiny models on several threads mostly wait, and for minutes where the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SETTINGS: dict[str, Any] = {
    "data": "digits",
    "fingerprint": "0123456789abcdef",
    "n": 16,
    "W": 4,
    "lr": 1e-3,
    "batch": "min(512, n)",
    "steps": 100,
    "seed": 0,
}
"""A complete run, as a user writes it plus the fingerprint; nothing that has a default is given."""


def _refuse_skip(report: Any) -> Any:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("TAUSWEEP_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"TAUSWEEP_REQUIRE_ALL=1 allows no skip, but: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return _refuse_skip((yield))


@pytest.fixture
def store(tmp_path: Path) -> StoreLayout:
    """An empty store; its path has a space in it, as users' paths do."""
    return StoreLayout(tmp_path / "store with space")


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunDirectory]:
    """`make_run(store, settings=None, **overrides)`: a run directory with its spec, not yet executed."""

    def make(store: StoreLayout, settings: dict[str, Any] | None = None, **overrides: Any) -> RunDirectory:
        spec = RunSpec.from_settings((settings or SETTINGS) | overrides)
        run = store.run(spec.run_id)
        write_record(run.spec, {"run_id": spec.run_id, "p": 4321, "settings": spec.settings()})
        return run

    return make


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, tuple[int, bytes]]]:
    """`snapshot(folder)`: every path below a folder with its date and content, to show that nothing was touched."""

    def take(folder: Path) -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(folder.rglob("*"))
        }

    return take
