"""A back-end in one file: workers one after the other, each waited for. Registered by `test_toy_site`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tausweep.orchestrator.execution import run_states
from tausweep.orchestrator.execution.reconcile import note_ended
from tausweep.orchestrator.execution.run_states import Update
from tausweep.orchestrator.execution.site import Site, report_end
from tausweep.orchestrator.execution.submission import submit_jobs
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.base import Handle, JobRequest, worker_arguments
from tausweep.orchestrator.executors.job_records import given_jobs
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.sweep.resources import Resources


class ToyExecutor:
    """Workers in the foreground."""

    name = "toy"
    supervised = True

    def submit(self, requests: Sequence[JobRequest]) -> list[Handle]:
        return [self._work(request) for request in requests]

    def _work(self, request: JobRequest) -> Handle:
        done = subprocess.run([sys.executable, *worker_arguments(request)], check=False)
        return Handle(executor=self.name, job_id=request.job_id, details={"code": done.returncode})

    def alive(self, handles: Sequence[Handle]) -> list[bool | None]:
        return [False] * len(handles)

    def job_name(self, handle: Handle) -> str:
        return handle.job_id

    def words(self, handles: Sequence[Handle]) -> list[str | None]:
        return [f"ENDED ({handle.details['code']})" for handle in handles]

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Nothing is left to cancel."""


class ToySite(Site):
    """A place where they are."""

    executor = ToyExecutor

    def resources(self, plan: Plan, *, stored: bool) -> Resources:
        return plan.resources

    def submit(self, plan: Plan) -> None:
        report_end(self.carry_out(run_states.settled(plan, self.layout), lambda now: None), self.layout)

    def carry_out(self, plan: Plan, update: Update) -> Plan:
        runs = [run.run_id for run in run_states.todo(plan)]
        submit_jobs(
            plan.sweep, self.layout, registry.executor_of(self.name), [runs[::2], runs[1::2]], plan.resources
        )
        note_ended(given_jobs(plan.sweep, self.layout), self.layout)
        plan = run_states.refresh(plan, self.layout)
        update(plan)
        return plan
