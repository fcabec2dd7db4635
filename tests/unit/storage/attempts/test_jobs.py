"""The record of a job and the listing of its runs, which is there until somebody notes the job's end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tausweep.storage.attempts.jobs import (
    JobRecord,
    end_job,
    jobs_not_ended,
    list_runs,
    listed_runs,
    read_job,
    write_job,
)
from tausweep.storage.errors import SchemaError
from tausweep.storage.files.records import write_record
from tausweep.storage.layout import StoreLayout

RECORD = JobRecord(
    sweep="tiny", submitted=1.5, executor="slurm", job_id="tiny-1", details={"slurm_id": "7_0"}
)


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    return StoreLayout(tmp_path)


def test_a_record_is_read_as_it_was_written(layout: StoreLayout):
    write_job(layout, RECORD)
    assert read_job(layout, "tiny-1") == RECORD
    assert set(json.loads(layout.job("tiny-1").read_text())) == {"schema", *JobRecord.model_fields}


def test_what_the_scheduler_keeps_is_known_where_it_keeps_something():
    assert RECORD.output is None
    assert RECORD.model_copy(update={"details": {"output": "/a/7_0.out"}}).output == Path("/a/7_0.out")


def test_a_record_that_lacks_a_field_is_named(layout: StoreLayout):
    write_record(layout.job("tiny-1"), {"sweep": "tiny"})
    with pytest.raises(SchemaError, match=r"tiny-1\.json: submitted: Field required"):
        read_job(layout, "tiny-1")


def test_a_job_s_runs_are_listed_until_its_end_is_noted(layout: StoreLayout):
    runs = [layout.run(f"{number:020x}") for number in range(3)]
    list_runs(layout, "tiny-1", runs)
    write_job(layout, RECORD)
    assert listed_runs(layout, "tiny-1") == runs
    assert list(jobs_not_ended(layout)) == [(RECORD, runs)]
    end_job(layout, "tiny-1")
    end_job(layout, "tiny-1")
    assert listed_runs(layout, "tiny-1") is None
    assert list(jobs_not_ended(layout)) == []
