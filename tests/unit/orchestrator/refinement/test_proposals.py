"""Refine proposes the runs that tell most, writes valid sweep files, and stops when n* is narrow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.options import ResolverOptions
from tausweep.orchestrator.analysis.statistics.boundary_posterior import BoundaryPosterior, DecidedRun
from tausweep.orchestrator.execution import run_states
from tausweep.orchestrator.execution.local_site import LocalSite
from tausweep.orchestrator.refinement.boundary_state import look
from tausweep.orchestrator.refinement.loop import Loop, next_points
from tausweep.orchestrator.refinement.proposals import propose
from tausweep.orchestrator.refinement.sweep_text import with_points, write_points
from tausweep.orchestrator.stores import selection
from tausweep.orchestrator.sweep.expansion import expand
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.errors import InputError, SweepFileError, TausweepError
from tausweep.storage.layout import RunDirectory, StoreLayout
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.workers.inputs import open_spec
from tests.unit.orchestrator.finished_store import (
    SWEEP,
    begin,
    fail,
    finish,
    prepared,
    run_command,
    write_parts,
    write_sweep,
)

WIDE = SWEEP.replace("n: [4, 8]", "n: [4, 32]").replace("optimizer: [adam, sgd]", "optimizer: [adam]")
"""n* at tau = 60 lies near 17 in the made-up runs: f_mem reaches 0.1 at tau = 3.5 n."""


def condition(W):
    return Condition(W=W, optimizer="adam", batch="min(512, n)")


def posterior(*outcomes):
    return BoundaryPosterior.of([DecidedRun(n, ends) for n, ends in outcomes])


def test_the_first_run_bisects_what_is_not_known_in_ln_n():
    known = {condition(8): posterior((8, True), (8, True), (128, False), (128, False))}
    (first,) = propose(known, 1)
    assert first.n == pytest.approx(math.sqrt(8 * 128), rel=0.2)
    assert first.memorises == pytest.approx(0.5, abs=0.1)


def test_the_condition_that_is_known_least_comes_first():
    known = {
        condition(8): posterior(*[(n, n < 30) for n in (8, 16, 24, 28, 32, 36, 48, 64) for _ in range(3)]),
        condition(16): posterior((8, True), (128, False)),
    }
    assert propose(known, 1)[0].condition.W == 16


def test_a_batch_is_spread_and_not_copies_of_one_run():
    known = {condition(8): posterior((8, True), (8, True), (128, False), (128, False))}
    proposals = propose(known, 4)
    assert len({p.n for p in proposals}) == 4
    gains = [p.information for p in proposals]
    assert gains == sorted(gains, reverse=True)


def test_equal_runs_get_seeds_of_their_own():
    known = {condition(8): posterior((8, True), (9, False))}
    proposals = propose(known, 12)
    assert len({(p.n, p.seed) for p in proposals}) == 12


def test_no_run_is_proposed_above_the_largest_n():
    known = {condition(8): posterior((8, True), (16, True))}
    assert max(p.n for p in propose(known, 6)) > 16
    assert max(p.n for p in propose(known, 6, largest_n=16)) <= 16


def test_refining_by_information_finds_a_planted_boundary_with_fewer_runs_than_a_grid():
    rng = np.random.default_rng(0)
    ends = lambda n: bool(rng.random() < 1 / (1 + math.exp(10 * (math.log(n) - math.log(30)))))  # noqa: E731
    outcomes = [DecidedRun(n, ends(n)) for n in (8, 128)]
    while (found := BoundaryPosterior.of(outcomes)).width > 1.5:
        (proposal,) = propose({condition(8): found}, 1)
        outcomes.append(DecidedRun(proposal.n, ends(proposal.n)))
    assert found.quantile(0.025) < 30 < found.quantile(0.975)
    grid = [DecidedRun(int(n), ends(n)) for n in np.geomspace(8, 128, len(outcomes))]
    assert BoundaryPosterior.of(grid).width > 1.5


# --- points of a sweep file ------------------------------------------------------------------------------------------


def test_points_are_runs_beside_the_grid(tmp_path):
    text = with_points(SWEEP, [{"n": 24, "W": 4, "optimizer": "adam", "seed": 7, "steps": 90}])
    specs = expand(read_sweep(write_sweep(tmp_path, text)))
    assert len(specs) == 9
    assert (specs[-1].data.n, specs[-1].seed, specs[-1].training.steps, specs[-1].optimizer.lr) == (
        24,
        7,
        90,
        4e-3,
    )


def test_points_are_added_to_points_and_all_else_stays_as_it_was():
    once = with_points(SWEEP, [{"n": 24, "seed": 7}])
    twice = with_points(once + "resources: {threads: 1}\n", [{"n": 28, "seed": 7}])
    assert once.startswith(SWEEP)
    assert twice.index("n: 24") < twice.index("n: 28") < twice.index("resources")
    assert twice.replace("  - {n: 28, seed: 7}\n", "") == once + "resources: {threads: 1}\n"


def test_a_sweep_of_points_only_has_no_grid(tmp_path):
    text = WIDE[: WIDE.index("grid:")] + WIDE[WIDE.index("when:") :]
    text = with_points(text.replace("  optimizer=sgd: {lr: 0.02}\n", ""), [
        {"n": 24, "W": 4, "optimizer": "adam", "seed": 0}, {"n": 28, "W": 4, "optimizer": "adam", "seed": 0},
    ])  # fmt: skip
    assert [spec.data.n for spec in expand(read_sweep(write_sweep(tmp_path, text)))] == [24, 28]


def test_an_override_chooses_among_points(tmp_path):
    text = with_points(SWEEP, [{"n": n, "W": 4, "optimizer": "adam", "seed": 0} for n in (24, 28)])
    specs = expand(read_sweep(write_sweep(tmp_path, text), ["n=28"]))
    assert {(spec.data.n, spec.seed) for spec in specs} == {(28, 0), (28, 1)}


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("points: 3", "a list of points is needed"),
        ("points: []", "a list of points is needed"),
        ("points:\n  - 3", "settings of one run are needed"),
        ("points:\n  - {m: 3}", "m: no such setting; "),
        ("points:\n  - {n: 1, W: 4, optimizer: adam, seed: 0}", "n = 1"),
    ],
)
def test_wrong_points_are_one_error_with_the_file(tmp_path, points, words):
    path = write_sweep(tmp_path, SWEEP + points + "\n")
    with pytest.raises(SweepFileError, match=r"tiny\.yaml") as error:
        expand(read_sweep(path))
    assert words in str(error.value)


def test_points_in_flow_style_are_not_rewritten():
    with pytest.raises(InputError, match="write them as a block"):
        with_points(SWEEP + "points: [{n: 24, seed: 1}]\n", [{"n": 28, "seed": 1}])


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(store, tmp_path):
    plan = prepared(write_sweep(tmp_path, WIDE), store)
    for run in plan.runs:
        finish(store.run(run.run_id))
    return store


def test_refine_prints_why_and_writes_nothing(measured, tmp_path, snapshot):
    before = snapshot(tmp_path)
    done = run_command("refine", "tiny", "--runs", "2", store=measured.root)
    assert (done.code, done.err) == (0, "")
    assert "this run memorises with probability" in done.out
    assert snapshot(tmp_path) == before


def test_refine_as_json_has_what_is_known_and_what_is_proposed(measured):
    done = run_command("refine", "tiny", "--runs", "3", "--json", store=measured.root)
    found = json.loads(done.out)
    assert found["budget"] == 60
    assert found["boundaries"][0]["low"] < 17 < found["boundaries"][0]["high"]
    assert len(found["proposals"]) == 3


def test_a_boundary_that_was_not_bracketed_is_open_and_what_is_assumed_is_said(store, tmp_path):
    plan = prepared(write_sweep(tmp_path, WIDE), store)
    for run in plan.runs:
        if run.spec.data.n == 4:  # they memorise
            finish(store.run(run.run_id))
    found = json.loads(run_command("refine", "tiny", "--json", store=store.root).out)
    (known,) = found["boundaries"]
    assert (known["n_star"], known["low"], known["high"]) == (None, None, None)
    assert "assumed beyond the n measured, 4 … 4" in found["proposals"][0]["reason"]


def test_refine_writes_a_child_that_has_the_parents_runs_too(measured, tmp_path):
    child = tmp_path / "child.yaml"
    assert run_command("refine", "tiny", "--runs", "3", "-o", child, store=measured.root).code == 0
    sweep = read_sweep(child)
    assert sweep.name == "child"
    specs, parents = expand(sweep), expand(read_sweep(tmp_path / "tiny.yaml"))
    assert {spec.provisional_id for spec in parents} < {spec.provisional_id for spec in specs}
    new = specs[len(parents) :]
    assert len(new) == 3
    assert all(
        4 < spec.data.n < 32 and spec.training.steps == 60 and spec.optimizer.lr == 4e-3 for spec in new
    )


def test_refine_adds_to_the_sweeps_own_file(measured, tmp_path):
    own = tmp_path / "tiny.yaml"
    assert run_command("refine", "tiny", "--runs", "2", "-o", own, store=measured.root).code == 0
    assert own.read_text().startswith(WIDE)
    assert read_sweep(own).name == "tiny"
    assert len(expand(read_sweep(own))) == 4 + 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "boundry"], "did you mean 'boundary'?"),
        (["--tau", "5000"], "no run was trained that long; the longest has 60 steps"),
        (["--auto"], "--auto: give --out FILE"),
        (["--batch", "2"], "--batch: only with --auto"),
        (["--early-stop"], "--early-stop: only with --auto"),
        (["--executor", "local"], "--executor: only with --auto"),
        (["--profile", "one-gpu"], "--profile: only with --auto"),
        (["--auto", "-o", "more.yaml", "--executor", "slrm"], "did you mean 'slurm'?"),
        (["--auto", "-o", "more.yaml", "--profile", "one-gpu"], "--profile: only with --executor slurm"),
        (["--auto", "-o", "more.yaml", "--json"], "--json: not with --auto"),
        (["--criterion", "frechet_pca<=1.25*min"], "no run has measured memorisation"),
    ],
)
def test_wrong_input_is_one_message_and_writes_nothing(measured, tmp_path, snapshot, arguments, words):
    before = snapshot(tmp_path)
    done = run_command("refine", "tiny", *arguments, store=measured.root)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert snapshot(tmp_path) == before


def test_a_file_that_is_there_is_not_overwritten(measured, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("mine")
    done = run_command("refine", "tiny", "-o", other, store=measured.root)
    assert (done.code, "exists; name a new file" in done.err) == (2, True)
    assert other.read_text() == "mine"


def test_a_sweep_without_a_measurement_has_nothing_to_refine(store, tmp_path):
    prepared(write_sweep(tmp_path, WIDE), store)
    done = run_command("refine", "tiny", store=store.root)
    assert (done.code, "no run has measured memorisation" in done.err) == (2, True)


def test_a_lost_sweep_file_is_said(measured, tmp_path):
    (tmp_path / "tiny.yaml").unlink()
    done = run_command("refine", "tiny", "-o", tmp_path / "child.yaml", store=measured.root)
    assert (done.code, "does not exist" in done.err) == (2, True)


# --- around again ----------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """Executes runs without training them, or does to them what the test says."""

    store: StoreLayout
    how: Callable[[RunDirectory], None] = finish
    executed: list[str] = field(default_factory=list)

    def place(self, plan):
        return replace(plan, executor="local")

    def execute(self, plan, watch):
        for run in plan.runs:
            self.executed.append(run.run_id)
            self.how(self.store.run(run.run_id))
        ended = run_states.refresh(plan, self.store)
        watch(ended)
        return ended


def around(store, tmp_path, most, batch=None, site=None, **options):
    given = {"width": 1.5, "largest_n": None, "early_stop": False, **options}
    loop = Loop(layout=store, options=ResolverOptions(), parent=tmp_path / "tiny.yaml", out=tmp_path / "child.yaml",
                site=site or Site(store), **given)  # fmt: skip
    plan = selection.stored("tiny", store)
    return list(loop.rounds(plan, look(plan, store, ResolverOptions(), None), most, batch))


def test_auto_goes_on_until_the_interval_is_narrow(measured, tmp_path):
    rounds = around(measured, tmp_path, 40, width=2.5)
    last, proposals = rounds[-1]
    assert proposals == []
    assert last.open(2.5) == {}
    (found,) = last.known.values()
    assert found.quantile(0.025) < 17.5 < found.quantile(0.975)
    assert 2 <= len(rounds) - 1 < 25
    assert len(expand(read_sweep(tmp_path / "child.yaml"))) == 4 + len(rounds) - 1


def test_auto_stops_at_the_number_of_runs_it_was_given(measured, tmp_path):
    site = Site(measured)
    rounds = around(measured, tmp_path, 5, 2, site, width=1.0001)
    assert [len(proposals) for _, proposals in rounds] == [2, 2, 1, 0]
    assert len(set(site.executed)) == 5


def test_auto_ends_when_a_run_fails(measured, tmp_path):
    with pytest.raises(TausweepError, match="child: 1 runs failed, refining stops"):
        around(measured, tmp_path, 5, site=Site(measured, fail))


def test_a_run_that_is_not_measured_yet_is_not_proposed_again(measured, tmp_path):
    plan = selection.stored("tiny", measured)
    first = look(plan, measured, ResolverOptions(), None)
    (proposal,), points = next_points(first, plan, 1, 1.5, None)
    write_points(measured, tmp_path / "tiny.yaml", tmp_path / "tiny.yaml", points)
    more = prepared(tmp_path / "tiny.yaml", measured)
    (again,), _ = next_points(look(more, measured, ResolverOptions(), None), more, 1, 1.5, None)
    assert (again.n, again.seed) == (proposal.n, proposal.seed + 1)


def half_done(run):
    """A run that goes on: it has evaluated up to half of its budget."""
    spec = open_spec(run)
    record = begin(run)
    write_parts(
        PartWriter(run, attempt=record.attempt),
        spec,
        [tau for tau in spec.taus if 2 * tau <= spec.training.steps],
    )


@pytest.mark.parametrize(
    ("early_stop", "largest_n", "cancelled"), [(True, 5, True), (False, 5, False), (True, None, False)]
)
def test_early_stop_cancels_runs_that_memorise_and_no_others(
    measured, tmp_path, early_stop, largest_n, cancelled
):
    site = Site(measured, half_done)
    around(measured, tmp_path, 1, site=site, early_stop=early_stop, largest_n=largest_n)
    (run,) = (measured.run(run_id) for run_id in site.executed)
    assert (open_spec(run).data.n <= 5) == (
        largest_n is not None
    )  # larger ones cross after half of the budget
    assert run.cancel.exists() == cancelled


def test_more_images_than_there_are_is_one_message_and_writes_nothing(measured, tmp_path, snapshot):
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="limit it with --largest-n"):
        write_points(
            measured,
            tmp_path / "tiny.yaml",
            tmp_path / "child.yaml",
            [{"n": 5000, "seed": 0, "W": 4, "optimizer": "adam"}],
        )
    assert snapshot(tmp_path) == before


def test_a_loop_that_is_stopped_says_how_to_go_on(measured, tmp_path, monkeypatch):
    def interrupt(self, plan, watch):
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalSite, "execute", interrupt)
    done = run_command("refine", "tiny", "--auto", "-o", tmp_path / "child.yaml", store=measured.root)
    assert done.code == 130
    assert "`tausweep resume child` finishes the runs that have begun" in done.out
    assert read_sweep(tmp_path / "child.yaml").name == "child"
