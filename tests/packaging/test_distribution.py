"""What is installed: one top-level name, everything the program needs, and nothing that another package can take along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]  # building writes into the checkout

ROOT = Path(__file__).resolve().parents[2]
BUILD = (sys.executable, "-m", "build", "--no-isolation")


def run(*command: object, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the files that git knows, so that nothing is built in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(*BUILD, "--wheel", "--outdir", out, source)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel_of_sdist(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(*BUILD, "--sdist", "--outdir", out, source)
    (archive,) = out.glob("*.tar.gz")
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", out], check=True)
    run(*BUILD, "--wheel", "--outdir", out, out / archive.name.removesuffix(".tar.gz"))
    return next(out.glob("*.whl"))


def test_a_wheel_has_one_name_at_its_top(wheel):
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tausweep"}


def test_a_wheel_has_every_file_of_the_four_folders_and_what_they_read(wheel):
    expected = {
        f"tausweep/{path.relative_to(ROOT).as_posix()}"
        for layer in ("storage", "jobs", "workers", "orchestrator")
        for pattern in ("*.py", "*.yaml", "report.*", "table.html")
        for path in (ROOT / layer).rglob(pattern)
    }
    profiles = {
        f"tausweep/slurm_profiles/{path.name}" for path in (ROOT / "deploy/slurm/profiles").glob("*.yaml")
    }
    assert expected | profiles | {"tausweep/py.typed"} <= set(names(wheel))


def test_a_wheel_of_the_sdist_has_the_same_files(wheel, wheel_of_sdist):
    assert sorted(names(wheel_of_sdist)) == sorted(names(wheel))


# --- installed -----------------------------------------------------------------------------------------------------

THEIRS = (
    "jobs/__init__.py",
    "jobs/spec/__init__.py",
    "storage.py",
    "workers/__init__.py",
    "orchestrator/__init__.py",
)


@pytest.fixture
def python(tmp_path, wheel_of_sdist) -> Path:
    """The interpreter of an environment that has tausweep's wheel, and what it needs from this one."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    needed = next(path for path in sys.path if path.endswith("site-packages"))
    # The folder is added by code: a line of a .pth would be read before the wheel's own folder is on sys.path.
    (site / "needed.pth").write_text(f"import sys; sys.path.append({needed!r})\n")
    interpreter = folder / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel_of_sdist)
    return interpreter


def theirs(folder: Path) -> Path:
    """A wheel of somebody's, with modules of the names that ours once had."""
    path = folder / "theirs-1-py3-none-any.whl"
    information = {
        "theirs-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1\n",
        "theirs-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents = dict.fromkeys(THEIRS, "raise SystemExit('theirs was imported')\n") | information
    record = "".join(f"{name},,\n" for name in [*contents, "theirs-1.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in (contents | {"theirs-1.dist-info/RECORD": record}).items():
            wheel.writestr(name, text)
    return path


def command(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(python.with_name("tausweep"), *arguments, cwd=folder)


def test_what_is_installed_from_the_sdist_runs(python, tmp_path):
    where = run(python, "-P", "-c", "import tausweep; print(tausweep.__file__)", cwd=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(python.parents[1]), "the installed one is tested"
    assert "20 runs" in command(python, "plan", "quickstart", folder=tmp_path).stdout
    arguments = (
        "quickstart",
        "n=5",
        "W=16",
        "seed=0",
        "steps=3",
        "samples=8",
        "frechet_dims=4",
        "eval_first=3",
    )
    command(python, "run", *arguments, folder=tmp_path)
    assert "1 succeeded" in command(python, "plan", *arguments, folder=tmp_path).stdout
    command(python, "report", "quickstart", "--out", "report.html", folder=tmp_path)
    assert "<html" in (tmp_path / "report.html").read_text()


def test_another_distribution_with_our_old_names_comes_and_goes_without_harm(python, tmp_path):
    before = sorted(path for path in python.parents[1].rglob("tausweep/**/*.py"))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", theirs(tmp_path))
    assert "20 runs" in command(python, "plan", "quickstart", folder=tmp_path).stdout
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "theirs")
    assert sorted(path for path in python.parents[1].rglob("tausweep/**/*.py")) == before
    assert "20 runs" in command(python, "plan", "quickstart", folder=tmp_path).stdout
