"""An executor is one file and one line of registration: all commands then know it."""

from __future__ import annotations

from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.job_records import given_jobs
from tausweep.orchestrator.plan.plan import stored_plan
from tausweep.storage.attempts.records import last_attempt
from tests.unit.orchestrator.finished_store import run_command

SWEEP = """
name: tiny
settings: {data: digits, model: mlp, W: 4, blocks: 1, batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2,
           eval_per_decade: 1, samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}
grid: {seed: [0, 1, 2]}
resources: {device: cpu}
"""


def test_a_back_end_is_added_by_one_file_and_one_line(tmp_path, store, monkeypatch):
    monkeypatch.setitem(registry.BACK_ENDS, "toy", "tests.unit.orchestrator.execution.toy_site:ToySite")
    file = tmp_path / "tiny.yaml"
    file.write_text(SWEEP)
    submitted = run_command("submit", file, "--executor", "toy", store=store.root)
    assert (submitted.code, submitted.err) == (0, "")
    plan = stored_plan("tiny", store)
    assert (plan.executor, plan.count("succeeded")) == ("toy", 3)
    assert all(last_attempt(store.run(run.run_id)).scheduler_state == "ENDED (0)" for run in plan.runs)
    assert given_jobs("tiny", store) == []
    again = run_command("resume", "tiny", store=store.root)
    assert (again.code, "3 succeeded" in again.out) == (0, True)


def test_what_it_has_no_use_for_is_refused(tmp_path, store, monkeypatch):
    monkeypatch.setitem(registry.BACK_ENDS, "toy", "tests.unit.orchestrator.execution.toy_site:ToySite")
    done = run_command("submit", tmp_path / "tiny.yaml", "--executor", "toy", "--canary", store=store.root)
    assert "--canary: only with --executor slurm; toy does not use it" in done.err
