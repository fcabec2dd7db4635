"""Faults other than kills, each a function from a folder and the undisturbed store to what was seen.

A function raises AssertionError where something is not as expected. Used by the tests here and by `make faults`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tausweep.storage.attempts.records import last_attempt, read_attempt, read_claim
from tausweep.storage.layout import RunDirectory, StoreLayout
from tests.faults.sweeps import attempts, differences, start, workers_of, write_sweep
from tests.integration.tiny_sweep import run_command, science, states
from tests.waiting import wait_for

PATIENCE_SECONDS = 300.0
Scenario = Callable[[Path, Path], str]


def runs(store: Path) -> list[RunDirectory]:
    """All runs of a store."""
    layout = StoreLayout(store)
    return [layout.run(run_id) for run_id in layout.run_ids()]


def with_checkpoints(store: Path) -> list[RunDirectory]:
    """Runs that have two checkpoints."""
    return [run for run in runs(store) if len(run.checkpoint_taus()) >= 2]


def require_equal(store: Path, undisturbed: Path) -> None:
    """Compare value for value, and let `store check` find nothing."""
    assert (found := differences(store, science(undisturbed))) == [], found


def printed(store: Path) -> str:
    """What the commands of `start` have printed."""
    return store.with_name(f"{store.name}.log").read_text()


def flip(path: Path, at: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def kill_midway(folder: Path) -> Path:
    """A store whose sweep was killed, all processes at once, when a run had two checkpoints."""
    store = folder / "runs"
    process = start("run", write_sweep(folder), store=store)
    wait_for(lambda: bool(with_checkpoints(store)) or process.poll() is not None)
    for victim in [*workers_of(psutil.Process(process.pid)), process]:
        victim.kill()
    process.wait()
    assert with_checkpoints(store), printed(store)
    return store


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 16 MB at a folder; needs root.

    Raises:
        PermissionError: it can't be mounted.
    """
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], check=False)
    if done.returncode:
        raise PermissionError(f"{folder}: no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def disk_full(folder: Path, undisturbed: Path) -> str:
    """The disk is filled while runs train."""
    store = folder / "runs"
    with small_disk(store):
        process = start("run", write_sweep(folder), store=store)
        wait_for(lambda: bool(with_checkpoints(store)) or process.poll() is not None)
        filler = store / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        code = process.wait(PATIENCE_SECONDS)
        assert code == 1, (code, printed(store))
        assert "Traceback" not in printed(store)
        filler.unlink()
        run_command("resume", "faulty", "--failed", store=store)
        require_equal(store, undisturbed)
        said = printed(store).splitlines()[-1]
        return f"exit code 1, “{said.split(':')[1].strip()}”; equal after `resume --failed`"


def without_permission(folder: Path, undisturbed: Path) -> str:
    """The right to write measurements and checkpoints is taken away while runs train."""
    store = folder / "runs"
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # permissions bind root only without these capabilities
        rights = "-dac_override,-dac_read_search"
        prefix = ("setpriv", "--bounding-set", rights, "--inh-caps", rights)
    process = start("run", write_sweep(folder), store=store, prefix=prefix)
    wait_for(lambda: len(with_checkpoints(store)) == 2 or process.poll() is not None)
    closed = [path for run in runs(store) for path in run.path.iterdir() if path.is_dir()]
    closed = [path for path in closed if path.name not in ("attempts", "logs")]
    for path in closed:
        path.chmod(0o500)
    code = process.wait(PATIENCE_SECONDS)
    for path in closed:
        path.chmod(0o755)
    assert code == 1, (code, printed(store))
    assert states(store) == {"failed": 2}, states(store)
    told = run_command("logs", "faulty", "--failed", store=store).stdout
    assert "Permission denied" in told, told
    run_command("resume", "faulty", "--failed", store=store)
    require_equal(store, undisturbed)
    return "`failed`, `error`, “Permission denied” and the file; equal after `resume --failed`"


def newest_checkpoint(folder: Path, undisturbed: Path) -> str:
    """A bit of the newest checkpoint is flipped."""
    store = kill_midway(folder)
    damaged = {run: run.checkpoint_taus() for run in with_checkpoints(store)}
    for run, taus in damaged.items():
        flip(run.checkpoint(taus[-1]), 1000)
    run_command("resume", "faulty", store=store)
    for run, taus in damaged.items():
        record = read_attempt(run, 2)
        assert (record.resumed_from_tau, record.damaged_checkpoints) == (taus[-2], (taus[-1],)), record
    require_equal(store, undisturbed)
    return "said in log and record, resumed from the one before; equal"


def all_checkpoints(folder: Path, undisturbed: Path) -> str:
    """A bit of every checkpoint is flipped."""
    store = kill_midway(folder)
    damaged = {run: run.checkpoint_taus() for run in with_checkpoints(store)}
    for run, taus in damaged.items():
        for tau in taus:
            flip(run.checkpoint(tau), 1000)
    run_command("resume", "faulty", store=store)
    for run, taus in damaged.items():
        record = read_attempt(run, 2)
        assert (record.resumed_from_tau, record.damaged_checkpoints) == (0, tuple(reversed(taus))), record
    require_equal(store, undisturbed)
    return "said in log and record, begun again at tau = 0; equal"


def part(folder: Path, undisturbed: Path) -> str:
    """A bit of a finished run's part is flipped."""
    store = folder / "runs"
    shutil.copytree(undisturbed, store)
    run = runs(store)[0]
    path = run.part("metrics", run.part_names("metrics")[3])
    flip(path, path.stat().st_size // 2)
    for command in (("query", "SELECT * FROM metrics"), ("store", "check")):
        done = run_command(*command, store=store, check=False)
        assert done.returncode != 0, done.stdout
        assert path.name in done.stdout + done.stderr, done.stdout + done.stderr
    run_command("store", "check", "--repair", store=store, check=False)
    assert not path.exists()
    run.path.rename(folder / "moved away")
    run_command("run", write_sweep(folder), store=store)
    require_equal(store, undisturbed)
    return "`query` and `store check` name it; equal after its run was moved away and `run`"


def spec(folder: Path, undisturbed: Path) -> str:
    """A bit of a setting in an unfinished run's spec is flipped."""
    store = kill_midway(folder)
    run = with_checkpoints(store)[0]
    flip(run.spec, run.spec.read_text().index('"steps": ') + len('"steps": '))
    done = run_command("resume", "faulty", store=store, check=False)
    assert done.returncode != 0, done.stdout
    assert run.run_id in done.stdout + done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    run_command("store", "check", "--repair", store=store, check=False)
    run_command("run", folder / "faulty.yaml", store=store)
    run_command("resume", "faulty", "--failed", store=store)
    require_equal(store, undisturbed)
    return "`resume` names it and refuses; equal after `store check --repair` and `run` with the sweep file"


def paused_worker(folder: Path, undisturbed: Path) -> str:
    """One of two orchestrators is stopped with its worker for longer than the lease, and wakes after the take-over."""
    store = folder / "runs"
    file = write_sweep(folder, workers=1)
    # Both at once: a sweep is planned without the runs that train at that time.
    asleep, other = start("run", file, store=store), start("run", file, store=store)

    def trained_by_asleep() -> list[RunDirectory]:
        pids = [worker.pid for worker in workers_of(psutil.Process(asleep.pid))]
        claims = [(run, read_claim(run)) for run in runs(store)]
        return [run for run, claim in claims if claim and claim.process.pid in pids and claim.tau > 10]

    wait_for(lambda: bool(trained_by_asleep()) or asleep.poll() is not None)
    run = trained_by_asleep()[0]
    victims = [psutil.Process(asleep.pid), *workers_of(psutil.Process(asleep.pid))]
    for victim in victims:
        victim.suspend()
    wait_for(lambda: all(victim.status() == psutil.STATUS_STOPPED for victim in victims))
    left = files_of_first(run)
    wait_for(lambda: getattr(last_attempt(run), "attempt", 0) == 2 or other.poll() is not None)
    for victim in victims:
        victim.resume()
    assert [other.wait(PATIENCE_SECONDS), asleep.wait(PATIENCE_SECONDS)] == [0, 0], printed(store)
    assert read_attempt(run, 2).state == "succeeded"
    assert files_of_first(run) == left
    require_equal(store, undisturbed)
    return "taken over after the lease (60 s); no part of the first attempt was added after that; equal"


def files_of_first(run: RunDirectory) -> list[str]:
    """The parts that the first attempt has published."""
    tables = ("metrics", "neighbours", "samples")
    return [f"{table}/{name}" for table in tables for name in run.part_names(table) if name.attempt == 1]


def orchestrators(count: int) -> Scenario:
    """So many `tausweep run` of one sweep on one store, at once."""

    def run_at_once(folder: Path, undisturbed: Path) -> str:
        store = folder / "runs"
        file = write_sweep(folder, workers=1)
        processes = [start("run", file, store=store) for _ in range(count)]
        codes = [process.wait(PATIENCE_SECONDS) for process in processes]
        assert set(codes) == {0}, (codes, printed(store))
        assert attempts(store) == len(runs(store)) == 2
        require_equal(store, undisturbed)
        return "one attempt per run; equal"

    return run_at_once


ONCE = "each run has exactly one attempt"
SCENARIOS: dict[str, tuple[str, str, Scenario]] = {
    "disk": ("the disk is full, and is emptied later", "the command ends with one message", disk_full),
    "permission": (
        "measurements and checkpoints may not be written any more",
        "the runs fail as `error`",
        without_permission,
    ),
    "newest checkpoint": (
        "a bit of the newest checkpoint flips",
        "the one before is used",
        newest_checkpoint,
    ),
    "all checkpoints": ("a bit of every checkpoint flips", "a new attempt from tau = 0", all_checkpoints),
    "part": ("a bit of a part flips", "no answer is given from it", part),
    "spec": ("a bit of a setting in a spec flips", "the run is not trained", spec),
    "paused": (
        "an orchestrator and its worker are stopped (SIGSTOP), and go on after take-over",
        "the woken worker publishes nothing more",
        paused_worker,
    ),
    **{f"{k} orchestrators": (f"{k} orchestrators at once", ONCE, orchestrators(k)) for k in (2, 4, 8)},
}
"""By name: the fault, what is expected, and the function."""
