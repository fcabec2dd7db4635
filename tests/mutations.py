"""Whether the tests still catch what must never break: `python -m tests.mutations`.

Each mutation breaks one central rule by one line, in a copy of the sources in a temporary folder; the tests of that rule
must then fail. Prints which test caught which, and exits with 1 if a mutation survived or could not be made.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("deploy", "docs", "jobs", "orchestrator", "src", "storage", "tests", "workers", "pyproject.toml")
FAILED = re.compile(r"^(?:FAILED|ERROR) (?:tests/unit/)?(.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A rule, and how it is broken.

    Attributes:
        rule: what holds, and does not in the mutant.
        file: the module that keeps the rule.
        line: a regular expression of what is replaced, wherever it stands in the file.
        by: the replacement.
        tests: the smallest set of test modules that must notice, below tests/unit.
    """

    rule: str
    file: str
    line: str
    by: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        rule="of two attempts the higher one's row counts",
        file="storage/tables/scan.py",
        line=r"ORDER BY part\.attempt DESC",
        by="ORDER BY part.attempt ASC",
        tests=("storage/tables/test_read_table.py",),
    ),
    Mutation(
        rule="rows past the tau from which a later attempt resumed are dropped",
        file="storage/tables/scan.py",
        line=r"part\.tau <= _cuts\.last_tau",
        by="true",
        tests=("storage/tables/test_read_table.py",),
    ),
    Mutation(
        rule="a writer that lost its claim publishes nothing more",
        file="storage/tables/part_writer.py",
        line=r"require_ownership\(self\.run, self\.attempt\)",
        by="pass",
        tests=("storage/attempts/test_claims.py",),
    ),
    Mutation(
        rule="an attempt whose worker slept through its lease can't end the run",
        file="storage/attempts/claims.py",
        line=r"    require_ownership\(run, record\.attempt\)\n",
        by="",
        tests=("storage/attempts/test_claims.py",),
    ),
    Mutation(
        rule="a file is synced before it is renamed into its place",
        file="storage/files/atomic.py",
        line=r"( +)_write_synced\(temporary, target, write\)\n +temporary\.replace\(target\)\n",
        by=(
            r"\1temporary.write_bytes(_content(write))\n\1temporary.replace(target)\n"
            r"\1with target.open() as late: os.fsync(late.fileno())\n"
        ),
        tests=("storage/files/test_atomic.py",),
    ),
    Mutation(
        rule="the folder is synced after a file was renamed into it",
        file="storage/files/atomic.py",
        line=r'(failpoint\("after_rename", target\))\n    sync_folder\(target\.parent\)',
        by=r"\1",
        tests=("storage/files/test_atomic.py",),
    ),
    Mutation(
        rule="a run that lost max_attempts workers in a row is not begun again by itself",
        file="storage/attempts/retries.py",
        line=r">= last\.retries\.max_attempts",
        by="> last.retries.max_attempts",
        tests=("storage/attempts/test_retries.py",),
    ),
    Mutation(
        rule="being preempted is no try",
        file="storage/attempts/retries.py",
        line=r'count \+= record\.failure == "lost_worker"',
        by="count += 1",
        tests=("storage/attempts/test_retries.py",),
    ),
    Mutation(
        rule="a heartbeat that is silent for the lease is dead",
        file="storage/attempts/liveness.py",
        line=r"heard\.silence >= self\._lease",
        by="heard.silence >= 2 * self._lease",
        tests=("storage/attempts/test_liveness.py",),
    ),
    Mutation(
        rule="parts are removed after the merged file was published",
        file="storage/maintenance/compaction.py",
        line=r"    new = publish_new\(",
        by=(
            "    chunks = list(chunks)\n"
            "    for k, r in runs.items(): [layout.run(k).part(table, name).unlink() for name in r.parts]\n"
            "    new = publish_new("
        ),
        tests=("storage/maintenance/test_compaction.py", "storage/test_store_machine.py"),
    ),
    Mutation(
        rule="a spec that does not hash to its run's id is refused",
        file="jobs/spec/run_spec.py",
        line=r"    if [\w.]+ != run_id:",
        by="    if False:",
        tests=("jobs/spec/test_identity.py",),
    ),
    Mutation(
        rule="a generated sample depends on its own seed alone, not on the batch",
        file="jobs/evaluation/evaluator.py",
        line=r'derive\(spec\.seed, "sample", i\)',
        by='derive(spec.seed, "sample", i + spec.batch_size)',
        tests=("jobs/evaluation/test_evaluator.py",),
    ),
    Mutation(
        rule="a curve that never reached the level is right-censored",
        file="orchestrator/analysis/criteria/first_crossing.py",
        line=r"np\.where\(first == 0, LEFT, 0\), RIGHT\)",
        by="np.where(first == 0, LEFT, 0), 0)",
        tests=("orchestrator/analysis/criteria/test_memorisation.py",),
    ),
    Mutation(
        rule="a censored response enters a law by its probability, not as if it were seen",
        file="orchestrator/analysis/statistics/censored_regression.py",
        line=r"np\.where\(censored == 0, seen, log_ndtr\(.*\)\)\.sum\(\)",
        by="seen.sum()",
        tests=("orchestrator/analysis/statistics/test_censored_regression.py",),
    ),
    Mutation(
        rule="a checkpoint that does not match its digest is passed over",
        file="workers/checkpointing.py",
        line=r"if not digest\.exists\(\) or .*:",
        by="if False:",
        tests=("workers/test_checkpointing.py",),
    ),
)


def main() -> int:
    """Try the tests on the sources as they are, then on every mutant; print the table."""
    modules = sorted({module for mutation in MUTATIONS for module in mutation.tests})
    with tempfile.TemporaryDirectory(prefix="tausweep-mutants-") as folder:
        code, output = _test(_copy(Path(folder) / "whole"), modules)
        if code:
            print(output, "The tests fail without a mutation.", sep="\n")
            return 1
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda pair: _catch(Path(folder) / str(pair[0]), pair[1]), enumerate(MUTATIONS))
            )
    print("| rule | caught by | seconds |\n|---|---|---|")
    for mutation, (caught_by, seconds) in zip(MUTATIONS, answers, strict=True):
        print(f"| {mutation.rule} | {caught_by or 'NO TEST'} | {seconds:.0f} |")
    return 0 if all(caught_by for caught_by, _ in answers) else 1


def _copy(folder: Path) -> Path:
    """The sources, without what was made from them."""
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def _test(folder: Path, modules: list[str] | tuple[str, ...]) -> tuple[int, str]:
    """Run test modules in a copy until one fails; exit status and output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-m", "not slow"]
    # Hypothesis would propose a patch of the test that fails, with whatever it finds installed for that.
    without = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*command, *without, *(f"tests/unit/{module}" for module in modules)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _catch(folder: Path, mutation: Mutation) -> tuple[str | None, float]:
    """The test that fails for a mutant, None if there is none; and how many seconds it took."""
    began = time.monotonic()
    file = _copy(folder) / mutation.file
    text, count = re.subn(mutation.line, mutation.by, file.read_text())
    if not count:
        raise LookupError(f"{mutation.file}: has no {mutation.line!r} any more; write the mutation anew")
    file.write_text(text)
    code, output = _test(folder, mutation.tests)
    match = FAILED.search(output)
    if code not in (0, 1) or (code == 1) != (match is not None):
        raise RuntimeError(f"{mutation.rule}: pytest ended with {code}\n{output}")
    return match and match[1], time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
