"""Every run's curves are made of its own rows, whatever its id and wherever the rows lie in the tables."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from tausweep.orchestrator.analysis.runs.curves import read_curves
from tausweep.storage.tables.schemas import SCHEMAS


def _metrics(run_ids: list[str], taus: range, order: np.random.Generator) -> pa.Table:
    """Test losses whose value names the run and the tau, in a random order of rows."""
    names = {field.name for field in SCHEMAS["metrics"]}
    rows = [
        {
            "run_id": run_id,
            "attempt": 1,
            "tau": tau,
            "t": 150.0,
            "metric": "test_loss",
            "value": place * 1e6 + tau,
        }
        for place, run_id in enumerate(run_ids)
        for tau in taus
    ]
    shuffled = [rows[place] for place in order.permutation(len(rows))]
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in names} for row in shuffled], schema=SCHEMAS["metrics"]
    )


@pytest.mark.parametrize("seed", range(40))
def test_curves_hold_the_rows_of_their_own_run(seed: int) -> None:
    """Ids are hashes; groups of a hash table come in an order of their own, which once mixed the runs up."""
    run_ids = [hashlib.sha256(f"{seed} {place}".encode()).hexdigest()[:20] for place in range(21)]
    taus = range(1, 141)
    metrics = _metrics(run_ids, taus, np.random.default_rng(seed))
    runs = pa.Table.from_pylist([{"run_id": run_id, "state": "running", "p": 1} for run_id in run_ids])

    curves = read_curves(runs, metrics, SCHEMAS["neighbours"].empty_table(), k=1 / 3)

    assert [run.run_id for run in curves] == sorted(run_ids)
    for run in curves:
        curve = run.metrics["test_loss", 150.0]
        np.testing.assert_array_equal(curve.tau, taus)
        np.testing.assert_array_equal(curve.value, run_ids.index(run.run_id) * 1e6 + np.array(taus))
