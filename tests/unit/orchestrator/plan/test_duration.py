"""How long a sweep will take, by the speed of what was measured before; unknown where nothing was."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.plan.duration import estimate
from tausweep.orchestrator.plan.plan import make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tests.unit.orchestrator.finished_store import begin, end, finish, prepared, write_sweep


def test_nothing_measured_is_an_unknown_time(tmp_path, store):
    plan = prepared(write_sweep(tmp_path), store)
    guess = estimate(plan.runs, store)
    assert (guess.hours, guess.measured, guess.unknown) == (None, 0, 8)


def test_runs_take_what_runs_of_their_size_and_batch_took(tmp_path, store):
    file = write_sweep(tmp_path)
    plan = prepared(file, store)
    for run in plan.runs:
        if run.spec.data.n == 4:
            finish(store.run(run.run_id))  # 60 steps in 9 seconds
    plan = make_plan(read_sweep(file), store)
    left = [run for run in plan.runs if run.status.state != "succeeded"]
    assert estimate(left, store).unknown == 4, "their batch min(512, n) is another"
    more = prepared(file, store, ["steps=600", "n=4"])
    guess = estimate(more.runs, store)
    assert (guess.measured, guess.unknown) == (4, 0)
    assert guess.hours == pytest.approx(4 * 600 / (60 / 9) / 3600)


def test_what_a_run_has_behind_it_is_not_counted_again(tmp_path, store):
    plan = prepared(write_sweep(tmp_path), store, ["n=4"])
    done, half = (store.run(run.run_id) for run in plan.runs[:2])
    finish(done)
    end(half, begin(half), state="preempted", tau=30)
    after = make_plan(read_sweep(tmp_path / "tiny.yaml", ["n=4"]), store)
    guess = estimate([run for run in after.runs if run.run_id == half.run_id], store)
    rates = [60 / 9, 30 / 9]
    assert guess.hours == pytest.approx(30 / (sum(rates) / 2) / 3600)
