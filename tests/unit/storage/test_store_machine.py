"""The store as a state machine: writers, crashes, take-overs, compaction and readers in any order.

The model is a list of the rows whose publication was acknowledged, and the attempt rule word by word. A crash is
raised at one of the calls by which the store touches the disk; whoever made it is gone, as a killed process is, and
what was not acknowledged may or may not be there. `TAUSWEEP_STORIES` says how many long stories are tried (30 by default).
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tausweep.storage.attempts.claims import begin_attempt, end_attempt
from tausweep.storage.attempts.liveness import Watch
from tausweep.storage.attempts.records import RetryPolicy, last_attempt, read_attempt, write_attempt
from tausweep.storage.errors import ClaimLostError
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.maintenance.compaction import compact
from tausweep.storage.maintenance.verification import check
from tausweep.storage.tables import scan
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.sql import query

AT_ONCE = RetryPolicy(max_attempts=1000, retry_seconds=0)
RUN_IDS = [digit * 20 for digit in "ab"]
CHANGES = {
    "fsync": os,
    "link": os,
    "replace": Path,
    "unlink": Path,
    "mkdir": Path,
}
"""The calls by which `storage` changes the disk, besides writing to a file that it has opened."""
LOOKS = (
    (StoreLayout, "merged_files"),
    (StoreLayout, "without_attempt"),
    (RunDirectory, "part_names"),
    (scan, "open_part"),
    (scan, "cuts_table"),
    (scan, "dataset"),
)
"""The calls by which a reader looks at it."""


class Crash(BaseException):
    """The process is killed; nothing catches it."""


class Disk:
    """Watches the calls that change the disk, and kills the process at one of them, before or after it is done."""

    def __init__(self):
        self.crash = None  # (call, how many of its kind come before it, after it is done)
        self.dead = False
        self.patch = pytest.MonkeyPatch()
        for name, owner in CHANGES.items():
            # Only the order of calls is tested here: no power is cut, and syncing is the slowest of them.
            original = (lambda _: None) if name == "fsync" else getattr(owner, name)
            self.patch.setattr(owner, name, self._watched(name, original))
        self.patch.setattr(Path, "open", self._opening(Path.open))

    def _opening(self, original):
        def open_file(path, mode="r", *arguments, **options):
            return WatchedFile(path, self) if mode == "wb" else original(path, mode, *arguments, **options)

        return open_file

    def _watched(self, name, original):
        def call(*arguments, **options):
            return self.change(name, before=lambda: None, whole=lambda: original(*arguments, **options))

        return call

    def change(self, name, *, before, whole):
        if self.dead:
            raise Crash  # a process that is dead does not clean up either
        if self.crash is None or self.crash[0] != name:
            return whole()
        _, left, after = self.crash
        if left:
            self.crash = (name, left - 1, after)
            return whole()
        self.dead = True
        (whole if after else before)()
        raise Crash

    def survives(self, crash, act):
        """Do something, with a crash or None; whether it was done to its end."""
        self.crash = crash
        try:
            act()
        except Crash:
            return False
        finally:
            self.crash, self.dead = None, False
        return True


class WatchedFile(io.FileIO):
    """A file open for writing; a crash tears what is being written."""

    def __init__(self, path, disk):
        super().__init__(path, "wb")
        self.disk = disk

    def write(self, content):
        content = bytes(content)
        return self.disk.change(
            "write",
            before=lambda: super(WatchedFile, self).write(content[: len(content) // 2]),
            whole=lambda: super(WatchedFile, self).write(content),
        )


@dataclass
class Attempt:
    """What the model knows of an attempt: where it resumed, and the rows that are published."""

    resumed: int | None = None
    rows: dict = field(default_factory=dict)


def rows_that_count(attempts):
    """The attempt rule, word by word: {tau: (attempt, value)}."""
    kept = {}
    for number, attempt in enumerate(attempts, start=1):
        later = [other.resumed for other in attempts[number:] if other.resumed is not None]
        kept |= {tau: (number, v) for tau, v in attempt.rows.items() if all(tau <= start for start in later)}
    return kept


ENDS = ["succeeded", "succeeded", "failed", "preempted", None]
RUN = st.sampled_from(RUN_IDS)


def a_crash_at_times(last_step):
    """One time in three (call, step, after) of a crash, else None."""
    call = st.sampled_from([*CHANGES, "write", "write"])
    crash = st.tuples(call, st.integers(0, last_step), st.booleans())
    return st.sampled_from(range(3)).flatmap(lambda i: crash if i == 2 else st.none())


CRASH, LATE_CRASH = a_crash_at_times(2), a_crash_at_times(12)
ATTEMPT = st.fixed_dictionaries(
    {
        "run_id": RUN,
        "back": st.integers(0, 3),
        "again": st.booleans(),
        "parts": st.integers(0, 2),
        "ends": st.sampled_from(ENDS),
    }
)
"""How far before the last row it resumes, whether it measures that tau again, what it publishes, how it ends."""
MOMENT = st.integers(0, 12)


class StoreMachine(RuleBasedStateMachine):
    """Two runs, any number of attempts and compactions."""

    @initialize()
    def new_store(self):
        self.folder = tempfile.mkdtemp()
        self.store = StoreLayout(Path(self.folder))
        for run_id in RUN_IDS:
            write_record(self.store.run(run_id).spec, {"run_id": run_id, "p": 1, "settings": {}})
        self.disk = Disk()
        self.model = {run_id: [] for run_id in RUN_IDS}
        self.writers = {}  # (run, attempt) → writer and its next tau; a paused one stays until it learns of it
        self.value = 0.0
        self.history = [self.rows_that_count()]  # what readers may see, as long as one reads

    def teardown(self):
        if hasattr(self, "disk"):
            try:
                self.reads_what_the_model_has()
                compact(self.store)
                self.reads_what_the_model_has()
                self.nothing_is_wrong()
            finally:
                self.disk.patch.undo()
                shutil.rmtree(self.folder)

    def rows_that_count(self):
        return {run_id: rows_that_count(attempts) for run_id, attempts in self.model.items()}

    def reads_what_the_model_has(self):
        """For each run as it is, or as it was at a moment since the reading began."""
        self.history = [self.rows_that_count()]
        rows = read_table(self.store, "metrics").to_pylist()
        found = {run_id: {} for run_id in RUN_IDS}
        for row in rows:
            found[row["run_id"]][row["tau"]] = (row["attempt"], row["value"])
        assert sum(map(len, found.values())) == len(rows), "a row is there twice"
        for run_id in RUN_IDS:
            assert found[run_id] in [moment[run_id] for moment in self.history]

    def nothing_is_wrong(self):
        """Nothing but what the dead leave behind, and runs that succeed without a measurement."""
        for finding in check(self.store, lambda run_id, settings: None):
            unmeasured = finding.kind == "missing" and finding.path.name == "metrics"
            assert finding.kind == "stale claim" or unmeasured, finding

    @rule(attempt=ATTEMPT, crash=CRASH)
    def an_attempt_is_made(self, attempt, crash):
        self.begin(**attempt, crash=crash)

    def begin(self, run_id, back, again, parts, ends, crash):
        """The one before has ended, was killed, or is paused and will want to publish later."""
        run, attempts = self.store.run(run_id), self.model[run_id]
        before = last_attempt(run)
        if before is not None and before.state != "running":
            write_attempt(run, before.model_copy(update={"retry": True}))
        known = [tau for attempt in attempts for tau in attempt.rows]
        resumed = max(0, max(known, default=0) - back)

        def act():
            record = begin_attempt(run, job_id=None, provenance={}, watch=Watch(lease=0), retries=AT_ONCE)
            write_attempt(run, record.model_copy(update={"resumed_from_tau": resumed}))
            self.writers[run_id, record.attempt] = (
                PartWriter(run, attempt=record.attempt),
                resumed + (not again),
            )

        survived = self.disk.survives(crash, act)
        record = last_attempt(run)
        if record is not None and record.attempt > len(attempts):
            attempts.append(Attempt())
        if record is not None:
            attempts[-1].resumed = record.resumed_from_tau
        self.history.append(self.rows_that_count())
        who = (run_id, len(attempts))
        if not survived:
            self.writers.pop(who, None)
            return
        for _ in range(parts):
            self.publish(who, 2, None)
        if ends is not None:
            self.end(who, ends, None)

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), count=st.integers(1, 3), crash=CRASH)
    def a_part_is_published(self, data, count, crash):
        self.publish(data.draw(st.sampled_from(sorted(self.writers))), count, crash)

    def publish(self, who, count, crash):
        (run_id, number), (writer, tau) = who, self.writers[who]
        rows = {tau + i: self.value + i for i in range(count)}
        self.value += count
        columns = {
            "tau": list(rows),
            "images_seen": [0] * count,
            "t": [None] * count,
            "metric": ["f_mem"] * count,
            "value": list(rows.values()),
            "wall_time": [0.0] * count,
        }
        before = writer.run.part_names("metrics")
        self.writers[who] = (writer, tau + count)
        try:
            survived = self.disk.survives(crash, lambda: writer.publish("metrics", columns))
        except ClaimLostError:
            assert number < len(self.model[run_id])
            del self.writers[who]
            return
        published = writer.run.part_names("metrics") != before
        assert number == len(self.model[run_id]) or not published, (
            "an attempt published after it was taken over"
        )
        assert published or not survived, "an acknowledged part is not there"
        if published:
            self.model[run_id][number - 1].rows |= rows
            self.history.append(self.rows_that_count())
        if not survived:
            del self.writers[who]

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), state=st.sampled_from(ENDS[:-1]), crash=CRASH)
    def an_attempt_ends(self, data, state, crash):
        self.end(data.draw(st.sampled_from(sorted(self.writers))), state, crash)

    def end(self, who, state, crash):
        run_id, number = who
        run = self.store.run(run_id)
        record = read_attempt(run, number).model_copy(update={"state": state, "ended": 0.0})
        try:
            self.disk.survives(crash, lambda: end_attempt(run, record))
        except ClaimLostError:
            assert number < len(self.model[run_id])
        del self.writers[who]

    @rule(crash=LATE_CRASH)
    def finished_runs_are_compacted(self, crash):
        self.disk.survives(crash, lambda: compact(self.store))

    @rule(moment=MOMENT, crash=LATE_CRASH)
    def somebody_reads_while_runs_are_compacted(self, moment, crash):
        with self.meanwhile(moment, lambda: self.disk.survives(crash, lambda: compact(self.store))):
            self.reads_what_the_model_has()

    @rule(moment=MOMENT, attempt=ATTEMPT)
    def somebody_reads_while_an_attempt_is_made(self, moment, attempt):
        with self.meanwhile(moment, lambda: self.begin(**attempt, crash=None)):
            self.reads_what_the_model_has()

    @rule(moment=MOMENT, attempt=ATTEMPT)
    def runs_are_compacted_while_an_attempt_is_made(self, moment, attempt):
        with self.meanwhile(moment, lambda: self.begin(**attempt, crash=None)):
            compact(self.store)

    @contextmanager
    def meanwhile(self, moment, act):
        """Something happens at once before one of the looks at the disk, by others than who looks."""
        with pytest.MonkeyPatch.context() as patch:

            def look(original):
                def call(*arguments):
                    nonlocal moment
                    moment -= 1
                    if moment == -1:
                        act()
                    return original(*arguments)

                return call

            for owner, name in LOOKS:
                patch.setattr(owner, name, look(getattr(owner, name)))
            yield

    @rule()
    def somebody_asks_in_sql(self):
        (counted,) = query(self.store, "SELECT count(*) AS rows, sum(value) AS sum FROM metrics").to_pylist()
        values = [v for attempts in self.model.values() for _, v in rows_that_count(attempts).values()]
        assert (counted["rows"], counted["sum"] or 0.0) == (len(values), sum(values))


def explore(examples, steps):
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_readers_see_every_acknowledged_row_once_whatever_happens():
    explore(8, 25)


@pytest.mark.slow
def test_readers_see_every_acknowledged_row_once_in_many_more_stories():
    explore(int(os.environ.get("TAUSWEEP_STORIES", "30")), 40)
