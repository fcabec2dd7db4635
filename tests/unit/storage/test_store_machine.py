"""The store as a state machine: writers, crashes, take-overs, compaction and readers in any order.

The model is a list of the rows whose publication was acknowledged, and the attempt rule word by word. A crash is
raised at one of the calls by which the store touches the disk; whoever made it is gone, as a killed process is, and
what was not acknowledged may or may not be there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
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

from storage import scan
from storage.attempts import (
    RetryPolicy,
    Watch,
    begin_attempt,
    end_attempt,
    last_attempt,
    read_attempt,
    write_attempt,
)
from storage.compaction import compact
from storage.errors import ClaimLostError
from storage.layout import PartName, StoreLayout
from storage.parts import PartWriter
from storage.scan import read_table
from storage.sql import query

AT_ONCE = RetryPolicy(max_attempts=1000, retry_seconds=0)
RUN_IDS = [digit * 20 for digit in "ab"]
WATCHED = ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"))
"""The calls by which `storage` changes the disk."""


class Crash(BaseException):
    """The process is killed; nothing catches it."""


class Disk:
    """Watches the calls that change the disk, and kills the process at one of them, before or after it is done."""

    def __init__(self):
        self.left = None  # calls until the crash; None: there is none to come; negative: it has come
        self.after = False
        self.originals = [(owner, name, getattr(owner, name)) for owner, name in WATCHED]
        for owner, name, original in self.originals:
            # Only the order of calls is tested here: no power is cut, and syncing is the slowest of them.
            setattr(owner, name, self._watched((lambda _: None) if name == "fsync" else original))

    def close(self):
        for owner, name, original in self.originals:
            setattr(owner, name, original)

    def _watched(self, original):
        def call(*arguments, **options):
            if self.left is None:
                return original(*arguments, **options)
            self.left -= 1
            if self.left < -1:
                raise Crash  # a process that is dead does not clean up either
            if self.left >= 0:
                return original(*arguments, **options)
            if self.after:
                original(*arguments, **options)
            raise Crash

        return call

    def survives(self, crash, act):
        """Do something, with a crash (step, after) or None; whether it was done to its end."""
        self.left, self.after = crash or (None, False)
        try:
            act()
        except Crash:
            return False
        finally:
            self.left = None
        return True


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
    """One time in four (step, after) of a crash, else None."""
    crash = st.tuples(st.integers(0, last_step), st.booleans())
    return st.sampled_from(range(4)).flatmap(lambda i: crash if i == 3 else st.none())


CRASH, LATE_CRASH = a_crash_at_times(12), a_crash_at_times(40)


class StoreMachine(RuleBasedStateMachine):
    """Two runs, any number of attempts and compactions."""

    @initialize()
    def new_store(self):
        self.folder = tempfile.mkdtemp()
        self.store = StoreLayout(Path(self.folder))
        self.disk = Disk()
        self.model = {run_id: [] for run_id in RUN_IDS}
        self.writers = {}  # (run, attempt) → writer and its next tau; a paused one stays until it learns of it
        self.value = 0.0

    def teardown(self):
        if hasattr(self, "disk"):
            self.disk.close()
            self.reads_what_the_model_has()
            shutil.rmtree(self.folder)

    def reads_what_the_model_has(self):
        rows = read_table(self.store, "metrics").to_pylist()
        found = {}
        for row in rows:
            found.setdefault(row["run_id"], {})[row["tau"]] = (row["attempt"], row["value"])
        assert sum(map(len, found.values())) == len(rows), "a row is there twice"
        expected = {run_id: rows_that_count(attempts) for run_id, attempts in self.model.items()}
        assert found == {run_id: rows for run_id, rows in expected.items() if rows}

    @rule(
        run_id=RUN, back=st.integers(0, 3), parts=st.integers(0, 2), ends=st.sampled_from(ENDS), crash=CRASH
    )
    def an_attempt_begins(self, run_id, back, parts, ends, crash):
        """The one before has ended, was killed, or is paused and will want to publish later."""
        run, attempts = self.store.run(run_id), self.model[run_id]
        before = last_attempt(run)
        if before is not None and before.state != "running":
            write_attempt(run, before.model_copy(update={"retry": True}))
        known = [tau for attempt in attempts for tau in attempt.rows]
        resumed = max(0, max(known, default=0) - back)

        def begin():
            record = begin_attempt(run, job_id=None, provenance={}, watch=Watch(lease=0), retries=AT_ONCE)
            write_attempt(run, record.model_copy(update={"resumed_from_tau": resumed}))
            self.writers[run_id, record.attempt] = (PartWriter(run, attempt=record.attempt), resumed + 1)

        survived = self.disk.survives(crash, begin)
        record = last_attempt(run)
        if record is not None and record.attempt > len(attempts):
            attempts.append(Attempt())
        if record is not None:
            attempts[-1].resumed = record.resumed_from_tau
        assert not survived or (run_id, len(attempts)) in self.writers
        if not survived:
            self.writers.pop((run_id, len(attempts)), None)
        for _ in range(parts if survived else 0):
            self.publish((run_id, len(attempts)), 2, None)
        if survived and ends is not None:
            self.end((run_id, len(attempts)), ends, None)

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
        part = writer.run.part("metrics", PartName(attempt=number, seq=writer._next.get("metrics", 0)))
        self.writers[who] = (writer, tau + count)
        try:
            survived = self.disk.survives(crash, lambda: writer.publish("metrics", columns))
        except ClaimLostError:
            assert number < len(self.model[run_id])
            del self.writers[who]
            return
        assert number == len(self.model[run_id]), "an attempt published after it was taken over"
        assert part.exists() or not survived, "an acknowledged part is not there"
        if part.exists():
            self.model[run_id][number - 1].rows |= rows
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

    @rule(opened=st.integers(0, 4), crash=LATE_CRASH)
    def somebody_reads_while_runs_are_compacted(self, opened, crash):
        left, original = opened, scan.open_part

        def open_part(path, table):
            nonlocal left
            left -= 1
            if left == -1:
                scan.open_part = original
                self.disk.survives(crash, lambda: compact(self.store))
            return original(path, table)

        scan.open_part = open_part
        try:
            self.reads_what_the_model_has()
        finally:
            scan.open_part = original

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
    explore(25, 25)


@pytest.mark.slow
def test_readers_see_every_acknowledged_row_once_in_many_more_stories():
    explore(100, 40)
