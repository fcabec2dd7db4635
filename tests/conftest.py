"""What all tests share: skips that fail where everything must run, and real stores in a temporary folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.files.object_store import location
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import RunDirectory, StoreLayout

# Before anything loads torch: tiny models on several threads mostly wait, and for minutes where the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example that takes long on a busy machine is no mistake of the code's.
hypothesis.settings.register_profile("unhurried", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")

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


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own cache folder, so that the user's is neither relied on nor filled."""
    with pytest.MonkeyPatch.context() as patch:
        if "SLURM_CONF" in os.environ:  # the script's own default is in that folder
            patch.setenv("DEV_CLUSTER", str(Path(os.environ["SLURM_CONF"]).parents[1]))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def slurm_answers() -> bool:
    """Whether there is a SLURM to submit to."""
    try:
        return subprocess.run(["sinfo"], capture_output=True, check=False, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


RAY_CLUSTER = Path(__file__).parents[1] / "deploy" / "ray" / "dev-cluster"


@pytest.fixture(scope="session")
def _ray_daemons() -> Iterator[tuple[Callable[..., str], dict[str, str]]]:
    """A Ray cluster of three nodes, started now: the script that manages it, and the variables by which it is found."""
    folder = tempfile.mkdtemp(prefix="ts-")  # short: Ray's sockets lie below it, and may have 107 characters
    variables = {
        "RAY_DEV_CLUSTER": f"{folder}/r",
        "CLUSTER_PORT": "21101",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
    }

    def manage(*arguments: str) -> str:
        command = [RAY_CLUSTER, *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
            stdin=subprocess.DEVNULL,
            env=os.environ | variables,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        answer = [word.split("=", 1) for word in shlex.split(manage("up"))[1:]]
        yield manage, variables | dict(answer)
    finally:
        manage("down")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray_cluster(
    _ray_daemons: tuple[Callable[..., str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """A Ray cluster of three nodes; `ray_cluster("kill", "n1")` calls the script that manages it.

    It runs until the tests end, but only tests that ask for it find it by their environment.
    """
    manage, variables = _ray_daemons
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return manage


_DAEMONS = {
    name: re.compile(
        rf"tests/(integration/test_{name}\.py|integration/.*::test_{name}_|contract/.*\[{name}\])"
    )
    for name in ("slurm", "ray")
}
"""Daemons that slow tests share, and the names of these tests, which also bear the daemon's marker."""


def _group(nodeid: str) -> str:
    """What runs one after the other on one worker of pytest-xdist: a module, or all tests of a daemon."""
    return next(
        (name for name, its in _DAEMONS.items() if its.match(nodeid)), nodeid.split("::", maxsplit=1)[0]
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Whole modules to each worker, so that what a module shares is made once; SLURM's and Ray's tests to one each.

    By names, as the process that schedules knows no markers (`--dist loadgroup` groups nothing with pytest 9.2).
    """
    if config.option.dist != "load":  # another way of spreading was chosen on the command line
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False  # the order is that of pytest_collection_modifyitems
    return ByGroup(config, log)


def pytest_collection_modifyitems(config, items):
    """With workers, what takes longest begins first: SLURM, Ray, modules with slow tests."""
    if hasattr(config, "workerinput"):
        slow = [_group(item.nodeid) for item in items if item.get_closest_marker("slow")]
        rank = {group: place for place, group in enumerate(dict.fromkeys([*_DAEMONS, *slow]))}
        items.sort(key=lambda item: rank.get(_group(item.nodeid), len(rank)))


def pytest_runtest_setup(item):
    if item.get_closest_marker("slow"):
        marked = [name for name in _DAEMONS if item.get_closest_marker(name)]
        assert marked == [name for name in _DAEMONS if _group(item.nodeid) == name], "see _DAEMONS"
    if item.get_closest_marker("ray") and importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'tausweep[ray]'")
    if item.get_closest_marker("slurm") and not slurm_answers():
        pytest.skip("no SLURM answers; start one with deploy/slurm/dev-cluster up and export what it prints")


@pytest.fixture
def store(tmp_path: Path) -> StoreLayout:
    """An empty store; its path has a space in it, as users' paths do."""
    return StoreLayout(tmp_path / "store with space")


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """`s3://…`, a bucket of a server on loopback, which this process and its children find by their environment."""
    import s3fs

    server = Path(__file__).with_name("s3_server.py")
    process = subprocess.Popen([sys.executable, server], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{process.stdout.readline().strip()}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
    process.terminate()
    process.communicate()


@pytest.fixture
def s3_store(s3_bucket: str) -> StoreLayout:
    """An empty store on the S3 server; its name has a space and an umlaut in it."""
    return StoreLayout(location(f"{s3_bucket}/{uuid.uuid4().hex[:8]} größe"))


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
