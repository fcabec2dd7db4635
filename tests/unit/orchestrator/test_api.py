"""The Python interface gives what the command line gives, and the example notebook runs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import tausweep
from tausweep.orchestrator import api
from tausweep.storage.errors import InputError
from tests.unit.orchestrator.finished_store import finish, prepared, run_command, write_sweep

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "results.ipynb"


@pytest.fixture
def finished(store, tmp_path):
    plan = prepared(write_sweep(tmp_path), store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    return store.root


def test_every_public_name_is_there():
    assert [name for name in api.__all__ if not hasattr(api, name)] == []


def test_it_says_what_the_command_says(finished):
    result = api.resolve_sweep(finished, "tiny", ["optimizer=adam"], k=0.5, criteria=["f_mem=0.2"])
    done = run_command("resolve", "tiny", "optimizer=adam", "--k", "1/2", "--criterion", "f_mem=0.2", "--json",
                    store=finished)  # fmt: skip
    assert json.loads(done.out) == result.model_dump(mode="json")


def test_curves_are_those_of_the_store(finished):
    curves = api.curves_of(finished, "tiny")
    assert len(curves) == 8
    f_mem = curves[0].curve("f_mem")
    assert f_mem.tau.dtype == np.int64
    assert ((f_mem.value >= 0) & (f_mem.value <= 1)).all()


def test_wrong_names_are_input_errors(finished):
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        api.resolve_sweep(finished, "tinny")
    with pytest.raises(InputError, match="no such criterion"):
        api.resolve_sweep(finished, "tiny", criteria=["f_men=0.1"])
    with pytest.raises(InputError, match="did you mean 'isotonic'"):
        api.resolve_sweep(finished, "tiny", smoothing="isotone")


@pytest.mark.parametrize("k", [0, -1, 5, float("nan")])
def test_a_threshold_out_of_range_is_an_input_error(finished, k):
    for call in (api.resolve_sweep, api.curves_of):
        with pytest.raises(InputError, match="0 < k ≤ 1"):
            call(finished, "tiny", k=k)


@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_the_example_notebook_runs(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUSWEEP_STORE", str(finished))
    monkeypatch.setenv("TAUSWEEP_SWEEP", "tiny")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[2]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert any("f_mem=0.1" in json.dumps(cell.get("outputs", [])) for cell in notebook.cells)


def test_the_package_hands_on_the_whole_interface_and_the_command():
    assert set(tausweep.__all__) == {*api.__all__, "main", "__version__"}
    assert tausweep.resolve_sweep is api.resolve_sweep
