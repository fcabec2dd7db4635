"""Handing runs to a scheduler: each once, no more than it takes, and again when its job is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.orchestrator.execution.run_states import cancel, refresh
from tausweep.orchestrator.execution.submission import cut, feed, open_runs
from tausweep.orchestrator.execution.watching import canary, watch_jobs
from tausweep.orchestrator.executors.base import Handle, JobRequest
from tausweep.orchestrator.executors.job_records import cancel_jobs, given_jobs
from tausweep.orchestrator.executors.slurm.executor import SlurmExecutor
from tausweep.orchestrator.plan.plan import Plan, with_jobs
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.errors import TausweepError
from tests.unit.orchestrator.finished_store import begin, end, finish, lose, prepared, write_sweep


@dataclass
class Site:
    """A scheduler in this process: it keeps what it is given, and says of each job what the test decides."""

    array_tasks: int = 100
    jobs: int | None = None
    refuses_after: int | None = None
    submissions: list[list[JobRequest]] = field(default_factory=list)
    parallel: list[int | None] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    silent: bool = False
    word: str | None = "RUNNING"
    name = "slurm"

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        if self.refuses_after is not None and len(self.submissions) >= self.refuses_after:
            raise TausweepError("sbatch refused: no more of you")
        self.submissions.append(list(requests))
        self.parallel.append(requests[0].resources.workers)
        array = len(self.submissions)
        details = {
            "slurm_id": "",
            "array": str(array),
            "parallel": requests[0].resources.workers or len(requests),
            "user": "me",
            "submitted": 1.0,
            "output": "/nowhere",
            "resources": {},
        }
        return [
            Handle(
                executor=self.name, job_id=request.job_id, details=details | {"slurm_id": f"{array}_{index}"}
            )
            for index, request in enumerate(requests)
        ]

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        return [None if self.silent else h.details["slurm_id"] not in self.gone for h in handles]

    @property
    def supervised(self) -> bool:
        return self.name == "local"

    def job_name(self, handle: Handle) -> str:
        return str(handle.details["slurm_id"])

    def at_once(self, handles: Sequence[Handle]) -> int:
        return SlurmExecutor().at_once(handles)

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        return [None if self.silent else self.word for _ in handles]

    def cancel(self, handles: Sequence[Handle]) -> None:
        self.gone |= {handle.details["slurm_id"] for handle in handles}

    def limits(self, resources: Resources) -> Site:
        return self


@pytest.fixture
def site(monkeypatch) -> Site:
    made = Site()

    def executor_of(name: str) -> Site:
        same = replace(made)
        same.name = name
        return same

    monkeypatch.setattr("tausweep.orchestrator.executors.registry.executor_of", executor_of)
    monkeypatch.setattr("tausweep.orchestrator.execution.watching.POLL_SECONDS", 0.0)
    return made


@pytest.fixture
def plan(tmp_path, store) -> Plan:
    """Eight runs, prepared, none begun."""
    return prepared(write_sweep(tmp_path), store)


def asking(plan: Plan, **resources: object) -> Plan:
    return replace(plan, resources=Resources.parse(resources))


def given_runs(site: Site, layout) -> Counter[str]:
    """How often each run was handed over."""
    lines = [
        line
        for requests in site.submissions
        for request in requests
        for line in layout.job_runs(request.job_id).read_text().splitlines()
    ]
    return Counter(line.rpartition("/")[2] for line in lines)


@given(st.integers(0, 40), st.integers(1, 9))
def test_runs_are_cut_into_the_fewest_jobs_of_about_equal_cost(count, size):
    jobs = cut(list(range(count)), size)  # type: ignore[arg-type]
    assert sorted(run for job in jobs for run in job) == list(range(count))
    assert len(jobs) == -(-count // size)
    assert all(len(job) <= size for job in jobs)
    assert max(map(len, jobs), default=0) - min(map(len, jobs), default=0) <= 1


def test_every_run_is_handed_over_once_and_not_again_while_its_job_lives(plan, store, site):
    fed = feed(asking(plan, slurm={"runs_per_job": 3}), store, site)
    assert (fed.runs, fed.left, len(fed.jobs)) == (8, 0, 3)
    assert given_runs(site, store) == Counter(run.run_id for run in plan.runs)
    assert [run.status.state for run in with_jobs(plan.runs, "tiny", store)] == ["submitted"] * 8
    again = feed(plan, store, site)
    assert (again.runs, again.left, again.jobs) == (0, 0, [])


def test_arrays_are_no_longer_than_the_site_lets_them_be(plan, store, site):
    site.array_tasks = 3
    assert feed(plan, store, site).left == 0
    assert [len(requests) for requests in site.submissions] == [3, 3, 2]


def test_what_the_site_does_not_take_is_handed_over_later(plan, store, site):
    site.jobs = 5
    fed = feed(plan, store, site)
    assert (fed.runs, fed.left) == (5, 3)
    assert fed.why == "the site lets this user submit 5 more jobs now"
    site.jobs = 0
    assert feed(plan, store, site).runs == 0
    site.jobs = 100
    fed = feed(plan, store, site)
    assert (fed.runs, fed.left) == (3, 0)
    assert set(given_runs(site, store).values()) == {1}


def test_a_refusal_of_the_first_array_is_an_error_that_leaves_nothing(plan, store, site):
    site.refuses_after = 0
    with pytest.raises(TausweepError, match="no more of you"):
        feed(plan, store, site)
    assert given_jobs("tiny", store) == []
    assert not list(store.jobs.glob("*"))


def test_a_refusal_of_a_later_one_is_told_and_keeps_what_was_taken(plan, store, site):
    site.array_tasks, site.refuses_after = 3, 1
    fed = feed(plan, store, site)
    assert (fed.runs, fed.left, fed.why) == (3, 5, "sbatch refused: no more of you")
    assert [run.status.state for run in with_jobs(plan.runs, "tiny", store)].count("submitted") == 3


def test_no_more_jobs_than_wished_may_run_at_once_over_all_arrays(plan, store, site):
    site.array_tasks = 2
    fed = feed(asking(plan, workers=3), store, site)
    assert site.parallel == [1, 1, 1]
    assert fed.left == 2
    assert fed.why is not None
    more = feed(asking(plan, workers=3), store, site)
    assert (more.runs, more.left, more.why) == (0, 2, "workers = 3 are submitted already")


def test_the_runs_of_a_job_that_is_gone_are_handed_over_again(plan, store, site):
    feed(plan, store, site)
    site.gone, site.word = {"1_0", "1_1"}, "NODE_FAIL"
    fed = feed(plan, store, site)
    assert fed.runs == 2
    assert len(fed.idle) == 2


def test_a_scheduler_that_does_not_answer_changes_nothing(plan, store, site):
    feed(plan, store, site)
    site.gone, site.silent = {"1_0"}, True
    assert feed(plan, store, site).runs == 0
    assert [run.status.state for run in with_jobs(plan.runs, "tiny", store)] == ["submitted"] * 8


def test_a_worker_of_this_machine_that_was_killed_is_forgotten_without_a_word(plan, store, site):
    """`run` was killed with its workers before one began a run; then the sweep is submitted to a cluster."""
    site.name = "local"
    feed(plan, store, site)
    site.name, site.gone, site.word = "slurm", {f"1_{index}" for index in range(8)}, None
    fed = feed(asking(plan, workers=2), store, site)
    assert (fed.runs, fed.idle) == (8, [])


def test_workers_of_this_machine_are_no_jobs_of_the_scheduler(plan, store, site):
    site.name, site.jobs = "local", 3
    feed(plan, store, site)
    site.name, site.jobs = "slurm", None
    fed = feed(asking(plan, workers=2), store, site)
    assert (fed.runs, site.parallel[-1]) == (5, 2)


def test_a_job_that_was_cancelled_before_it_began_is_not_idle(plan, store, site):
    feed(plan, store, site)
    site.gone, site.word = {"1_0"}, "CANCELLED"
    assert feed(plan, store, site).idle == []


def test_the_scheduler_s_word_is_kept_with_the_attempts_of_an_ended_job(plan, store, site):
    feed(plan, store, site)
    (job,) = [job for job in given_jobs("tiny", store) if job.handle.details["slurm_id"] == "1_0"]
    run = store.run(job.run_ids[0])
    end(run, begin(run, job_id=job.handle.job_id), state="failed", tau=3, failure="out_of_memory", error="no")
    site.gone, site.word = {"1_0"}, "OUT_OF_MEMORY"
    assert feed(refresh(plan, store), store, site).idle == []
    record = last_attempt(run)
    assert record is not None
    assert (record.scheduler_state, record.failure) == ("OUT_OF_MEMORY", "out_of_memory")
    assert not store.job_runs(job.handle.job_id).exists()


def test_an_attempt_that_its_job_left_running_is_lost_with_the_scheduler_s_word(plan, store, site):
    feed(plan, store, site)
    (job,) = [job for job in given_jobs("tiny", store) if job.handle.details["slurm_id"] == "1_0"]
    run = store.run(job.run_ids[0])
    record = begin(run, job_id=job.handle.job_id)
    site.gone, site.word = {"1_0"}, "NODE_FAIL"
    feed(refresh(plan, store), store, site)
    silent = last_attempt(run)
    assert silent is not None
    assert silent.state == "running", "its worker is this process, which lives"
    assert store.job_runs(job.handle.job_id).exists()
    lose_process(run, record)
    feed(refresh(plan, store), store, site)
    after = last_attempt(run)
    assert after is not None
    assert (after.state, after.failure, after.scheduler_state) == ("failed", "lost_worker", "NODE_FAIL")
    assert not store.job_runs(job.handle.job_id).exists()


def lose_process(run, record) -> None:
    from tausweep.storage.attempts.records import write_attempt

    gone = record.process.model_copy(update={"started": record.process.started - 1000})
    write_attempt(run, record.model_copy(update={"process": gone}))


def test_watching_feeds_until_all_runs_are_done(plan, store, site):
    site.jobs = 3

    def work(seen: Plan) -> None:
        for job in given_jobs("tiny", store):
            if job.alive:
                for run_id in job.run_ids:
                    finish(store.run(run_id))
                site.gone.add(job.handle.details["slurm_id"])

    done = watch_jobs(plan, store, site, work)
    assert done.count("succeeded") == 8
    assert [len(requests) for requests in site.submissions] == [3, 3, 2]
    assert given_jobs("tiny", store) == []


def test_watching_ends_with_words_where_jobs_begin_no_run(plan, store, site, tmp_path):
    def fail_at_once(seen: Plan) -> None:
        site.word = "FAILED"
        site.gone |= {job.handle.details["slurm_id"] for job in given_jobs("tiny", store)}

    with pytest.raises(TausweepError, match="ended as FAILED before it started a run; see /nowhere"):
        watch_jobs(asking(plan, slurm={"runs_per_job": 8}), store, site, fail_at_once)
    assert len(site.submissions) == 3


def test_the_canary_is_the_cheapest_run_and_alone_until_it_has_succeeded(plan, store, site):
    def work(seen: Plan) -> None:
        assert len(seen.runs) == 1
        if not site.gone:
            finish(store.run(seen.runs[0].run_id))
            site.gone.add("1_0")

    canary(plan, store, site, work)
    assert len(site.submissions) == 1
    done = refresh(plan, store)
    assert min(run.cost for run in done.runs) == next(
        r.cost for r in done.runs if r.status.state == "succeeded"
    )
    canary(done, store, site, work)
    assert len(site.submissions) == 1, "one run has succeeded: nothing to find out"


def test_a_canary_that_dies_is_an_error(plan, store, site):
    def die(seen: Plan) -> None:
        if not site.gone:
            lose(store.run(seen.runs[0].run_id))
            site.gone.add("1_0")

    with pytest.raises(TausweepError, match=r"the canary, run \w+, ended as failed"):
        canary(plan, store, site, die)


def test_cancelling_a_sweep_cancels_the_jobs_that_have_no_other_run(plan, store, site):
    feed(asking(plan, slurm={"runs_per_job": 4}), store, site)
    first, second = given_jobs("tiny", store)
    for run_id in [*first.run_ids, second.run_ids[0]]:
        cancel(store.run(run_id))
    assert cancel_jobs("tiny", store) == 1
    assert site.gone == {first.handle.details["slurm_id"]}
    assert open_runs(refresh(plan, store), given_jobs("tiny", store)) == []
