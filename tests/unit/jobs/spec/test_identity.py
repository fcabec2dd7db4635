"""Opening a stored spec: it is the one that its run is named after, or an error that names the run."""

from __future__ import annotations

import pytest

from tausweep.jobs.spec.run_spec import RunSpec, settings_id, stored_spec
from tausweep.storage.errors import IdentityError
from tests.conftest import SETTINGS

SPEC = RunSpec.from_settings(SETTINGS)


def test_a_stored_spec_is_that_of_its_run():
    assert stored_spec(SPEC.run_id, SPEC.settings()) == SPEC


@pytest.mark.parametrize("name", ["lr", "n", "seed"])
def test_settings_that_hash_to_another_run_are_refused(name):
    changed = SPEC.settings() | {name: 7}
    with pytest.raises(IdentityError, match=f"run {SPEC.run_id}: .* hash to {settings_id(changed)}"):
        stored_spec(SPEC.run_id, changed)


def test_settings_that_this_version_reads_as_another_run_are_refused():
    """A version that filled in a setting less has named the run after fewer of them."""
    fewer = {name: value for name, value in SPEC.settings().items() if name != "clip_x0"}
    with pytest.raises(IdentityError, match=f"reads its settings as run {SPEC.run_id}"):
        stored_spec(settings_id(fewer), fewer)
