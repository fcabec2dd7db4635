"""Records of attempts and claims that are damaged or of another form are errors that name them."""

from __future__ import annotations

import pytest

from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.errors import CorruptFileError, SchemaError
from tests.unit.storage.attempt_making import begin, record


@pytest.fixture
def run(store, make_run):
    return make_run(store)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "attem', b"[]"])
def test_a_damaged_record_is_an_error_that_names_it(run, content):
    record(run)
    run.attempt(1).write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"1\.json"):
        run_status(run)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('"state": "runing"', "state"),
        ('"attempt": "one"', "attempt"),
        ('"unknown": 1', "unknown"),
        ('"process": {}', "process.host"),
    ],
)
def test_a_record_with_a_wrong_field_is_refused_with_file_and_field(run, change, field):
    record(run)
    text = run.attempt(1).read_text()
    run.attempt(1).write_text(text.rstrip().removesuffix("}") + f", {change}}}")
    with pytest.raises(SchemaError, match=rf"1\.json: {field}: "):
        last_attempt(run)


def test_a_claim_that_cannot_be_read_is_an_error_that_names_it(run):
    begin(run)
    run.claim.write_bytes(b"{")
    with pytest.raises(CorruptFileError, match="claim: not JSON"):
        run_status(run)
