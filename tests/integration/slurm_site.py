"""A site with a real SLURM, as its users and its operators meet it: for the tests marked slurm."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

DEV_CLUSTER = Path(__file__).parents[2] / "deploy" / "slurm" / "dev-cluster"


def slurm(*command: str) -> str:
    """Run one of SLURM's commands; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def queue(*options: str, form: str = "%i") -> list[str]:
    """Jobs that wait or run."""
    return slurm("squeue", "--noheader", "--array", f"--format={form}", *options).split()


def running() -> list[str]:
    """Ids of the jobs that run, array tasks one by one."""
    return queue("--states=RUNNING")


def restarts(job: str) -> int:
    """How often SLURM has begun a job again."""
    match = re.search(r"Restarts=(\d+)", slurm("scontrol", "show", "job", job))
    assert match is not None
    return int(match[1])


def urgent(folder: Path, *, node: str, seconds: int) -> str:
    """Submit a job that takes a whole node away from others; its id."""
    return slurm(
        "sbatch",
        "--parsable",
        "--partition=urgent",
        f"--nodelist={node}",
        "--exclusive",
        f"--output={folder}/urgent.log",
        f"--wrap=sleep {seconds}",
    ).strip()


def without(folder: Path, *commands: str) -> Path:
    """A folder for PATH with every command of this machine but these."""
    folder.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for command in Path(place).iterdir():
            link = folder / command.name
            if command.name not in commands and not link.exists() and not link.is_symlink():
                link.symlink_to(command)
    return folder
