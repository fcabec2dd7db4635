"""Folders of users that hold modules of our names, of our old ones and of packages that we need.

Each file leaves a mark when it is imported: wherever tausweep runs, none may be.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.tiny_sweep import states, write_sweep
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

OURS = (
    "jobs/__init__.py",
    "jobs/spec.py",
    "storage.py",
    "workers/__init__.py",
    "workers/__main__.py",
    "orchestrator/__init__.py",
)
NEEDED = (
    "torch.py",
    "yaml.py",
    "numpy.py",
    "pyarrow.py",
    "diffusers.py",
    "pydantic.py",
    "submitit.py",
    "ray.py",
)
PYTHONS = ("random.py", "queue.py", "statistics.py")


def plant(folder: Path, *names: str) -> Path:
    """Write modules into a folder that say when they are imported, and end whoever does it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mark = f"open({str(folder / 'imported')!r}, 'a').write(__file__ + '\\n')"
        path.write_text(f"{mark}\nraise SystemExit('a file of the user was imported: ' + __file__)\n")
    return folder


def imported(folder: Path) -> str:
    mark = folder / "imported"
    return mark.read_text() if mark.exists() else ""


def call(*arguments: object, folder: Path, check: bool = True, **environment: str):
    """The installed command, as a user calls it, in a folder of his."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("tausweep")), *map(str, arguments), "--store", "runs"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with such modules, and a sweep of four small runs."""
    folder = plant(tmp_path / "research", *OURS, *NEEDED, *PYTHONS, "tausweep.py")
    write_sweep(folder, steps=20)
    return folder


def read_everything(folder: Path) -> None:
    """The commands by which results are looked at."""
    for command in (
        ("status", "tiny"),
        ("query", "SELECT count(*) FROM metrics"),
        ("resolve", "tiny"),
        ("figures", "tiny"),
        ("report", "tiny", "--out", "report.html"),
        ("compact", "tiny"),
        ("store", "check"),
    ):
        call(*command, folder=folder)


def test_a_sweep_is_planned_run_and_looked_at_there(hostile):
    call("plan", "tiny.yaml", folder=hostile)
    call("run", "tiny.yaml", folder=hostile)
    assert states(hostile / "runs") == {"succeeded": 4}
    read_everything(hostile)
    assert imported(hostile) == ""


def test_a_sweep_is_submitted_there_in_the_background(hostile):
    call("submit", "tiny.yaml", folder=hostile)
    wait_for(lambda: states(hostile / "runs") == {"succeeded": 4})
    assert imported(hostile) == ""


def test_runs_of_several_ranks_are_trained_there(hostile):
    call("run", "tiny.yaml", "optimizer=adam", "n=4", "resources.processes=2", folder=hostile)
    assert states(hostile / "runs") == {"succeeded": 1}
    assert imported(hostile) == ""


@pytest.mark.slurm
def test_slurm_s_jobs_import_nothing_of_it(hostile):
    call("submit", "tiny.yaml", "--executor", "slurm", "--watch", folder=hostile)
    assert states(hostile / "runs") == {"succeeded": 4}
    assert imported(hostile) == ""


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_ray_s_tasks_import_nothing_of_it(hostile):
    call("submit", "tiny.yaml", "--executor", "ray", "--watch", folder=hostile)
    assert states(hostile / "runs") == {"succeeded": 4}
    assert imported(hostile) == ""


# --- PYTHONPATH ----------------------------------------------------------------------------------------------------


def test_our_old_names_on_pythonpath_do_no_harm(tmp_path):
    folder = plant(tmp_path / "research", *OURS)
    write_sweep(tmp_path, steps=20)
    call("run", "tiny.yaml", folder=tmp_path, PYTHONPATH=str(folder))
    assert states(tmp_path / "runs") == {"succeeded": 4}
    assert imported(folder) == ""


@pytest.mark.parametrize("name", [*NEEDED, "rich.py"])
def test_a_file_on_pythonpath_that_hides_a_package_is_one_error_that_names_it(name, tmp_path):
    folder = plant(tmp_path / "research", name)
    write_sweep(tmp_path)
    done = call("run", "tiny.yaml", folder=tmp_path, check=False, PYTHONPATH=str(folder))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{folder / name} stands in the way of the package" in line
    assert imported(folder) == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", [":", ":/nowhere", "."])
def test_the_working_directory_is_on_pythonpath_by_an_empty_entry_too(path, tmp_path):
    plant(tmp_path, "torch.py")
    write_sweep(tmp_path)
    done = call("run", "tiny.yaml", folder=tmp_path, check=False, PYTHONPATH=path)
    assert done.returncode == 2
    assert f"{tmp_path / 'torch.py'} stands in the way of the package torch" in done.stderr
    assert imported(tmp_path) == ""


def test_a_folder_on_pythonpath_that_hides_a_package_and_is_not_it_is_named(tmp_path):
    folder = tmp_path / "research"
    (folder / "yaml").mkdir(parents=True)
    (folder / "yaml" / "__init__.py").touch()
    write_sweep(tmp_path)
    done = call("run", "tiny.yaml", folder=tmp_path, check=False, PYTHONPATH=str(folder))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(folder / "yaml") in line


def test_a_tausweep_py_on_pythonpath_is_named_by_python_itself(tmp_path):
    folder = tmp_path / "research"
    folder.mkdir()
    (folder / "tausweep.py").touch()
    done = call("plan", "quickstart", folder=tmp_path, check=False, PYTHONPATH=str(folder))
    assert done.returncode != 0
    assert str(folder / "tausweep.py") in done.stderr.splitlines()[-1]


def test_a_worker_says_the_same(tmp_path):
    folder = plant(tmp_path / "research", "torch.py")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tausweep.workers", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{folder / 'torch.py'} stands in the way of the package torch" in done.stderr
