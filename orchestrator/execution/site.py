"""Where plans are executed until they are done: on this machine, by a SLURM or a Ray cluster, behind one face.

Called by `refine --auto`, which goes on when the runs of a round have ended, wherever that was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tausweep.orchestrator.execution import local_pool, ray_site, run_states, slurm_site
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.terminal import progress
from tausweep.storage.layout import StoreLayout


@dataclass(frozen=True, kw_only=True)
class ExecutionSite:
    """Executes plans with their progress.

    Attributes:
        layout: the store.
        executor: local, slurm or ray.
        profile: of the site's SLURM, by name or file; None for what the sweep says.
    """

    layout: StoreLayout
    executor: str
    profile: str | None = None

    def place(self, plan: Plan) -> Plan:
        """The plan with its executor and the resources that runs have there.

        Raises:
            InputError: this machine or this cluster can't execute it.
        """
        if self.executor == "slurm":
            plan = slurm_site.on_site(plan, self.layout, self.profile)
        elif self.executor == "ray":
            plan = ray_site.on_cluster(plan, None)
        else:
            plan.resources.worker_count(len(plan.runs))
        return replace(plan, executor=self.executor)

    def execute(self, plan: Plan, watch: Callable[[Plan], None]) -> Plan:
        """Execute what is to do, calling `watch` now and then, and give the plan back as it ended.

        Raises:
            KeyboardInterrupt: stopped by a signal. Workers of this machine have ended; jobs of a cluster go on.
        """
        carry_out = {
            "local": local_pool.execute,
            "slurm": slurm_site.watch,
            "ray": ray_site.carry_out,
        }[self.executor]
        with progress.ProgressView(plan) as view:

            def update(now: Plan) -> None:
                view.update(now)
                watch(now)

            return carry_out(run_states.settled(plan, self.layout), self.layout, update)
