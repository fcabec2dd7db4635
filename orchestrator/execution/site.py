"""Where plans are executed: one interface to this machine, SLURM, Ray and whatever is added, a module each.

Called by `submit`, `resume`, `run` and `refine --auto`: they choose a site once, by `site_of`, and follow one path:
place the plan, prepare the store, then submit or execute.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import ClassVar, cast

import typer

from tausweep.orchestrator.execution import run_states
from tausweep.orchestrator.executors import registry
from tausweep.orchestrator.executors.base import Executor
from tausweep.orchestrator.plan.plan import Plan
from tausweep.orchestrator.sweep.resources import Resources
from tausweep.orchestrator.terminal import console, plan_tables, progress
from tausweep.storage.errors import InputError
from tausweep.storage.layout import StoreLayout

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """What the command line says beside the resources; a site names those that it has a use for.

    Attributes:
        profile: of the site's SLURM, by name or file; None for what the sweep says.
        dry_run: show what would be submitted, and write nothing.
        canary: execute the cheapest run first, and submit the rest if it succeeds.
        watch: stay until all is done.
        address: of the cluster; None for what the sweep says.
    """

    profile: str | None = None
    dry_run: bool = False
    canary: bool = False
    watch: bool = False
    address: str | None = None


class Site(ABC):
    """A place where plans are executed; a sub-class for each back-end, named in `executors.registry`.

    Attributes:
        executor: makes the executor to which jobs are submitted here.
        requires: module that must be importable here, None if that is not in question; the extra with its package is
            called like the back-end.
        uses: fields of `SiteOptions` that are of use here.
    """

    executor: ClassVar[Callable[[], Executor]]
    requires: ClassVar[str | None] = None
    uses: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, layout: StoreLayout, options: SiteOptions) -> None:
        """Prepare; asks nobody. Use `site_of`.

        Args:
            name: by which the back-end is registered.
            layout: the store.
            options: what the command line says.
        """
        self.name, self.layout, self.options = name, layout, options

    def place(self, plan: Plan, *, stored: bool = False) -> Plan:
        """The plan with its executor and the resources that its runs have here; before anything is written.

        Args:
            plan: what is to be executed.
            stored: whether it was read from the store, whose resources do not tell what its file had set itself.

        Raises:
            TausweepError: this machine or this cluster can't execute it.
        """
        return replace(plan, resources=self.resources(plan, stored=stored), executor=self.name)

    @abstractmethod
    def resources(self, plan: Plan, *, stored: bool) -> Resources:
        """The resources that a plan's runs have here, see `place`."""

    def preview(self, plan: Plan) -> None:
        """Show what a submission of a placed plan would be; called only if `dry_run` is of use here."""
        raise NotImplementedError

    @abstractmethod
    def submit(self, plan: Plan) -> None:
        """Submit a prepared plan, report it on the terminal, and stay if `watch` is set.

        Raises:
            TausweepError: it was refused, and nothing was submitted.
            typer.Exit: 1 if a run failed, 130 if the watching was stopped.
        """

    def resume(self, plan: Plan) -> None:
        """Go on with a plan that was prepared before: as `submit`, but where a terminal's own process executes."""
        self.submit(plan)

    def execute(self, plan: Plan, watch: run_states.Update) -> Plan:
        """Execute what is to do with progress on the terminal, calling `watch` too, and give the plan back as it ended.

        Raises:
            KeyboardInterrupt: stopped by a signal. Workers of this machine have ended; jobs of a cluster continue.
        """
        with progress.ProgressView(plan) as view:

            def update(now: Plan) -> None:
                view.update(now)
                watch(now)

            return self.carry_out(run_states.settled(plan, self.layout), update)

    @abstractmethod
    def carry_out(self, plan: Plan, update: run_states.Update) -> Plan:
        """Execute what is to do of a settled plan, and give it back as it ended, see `execute`."""


def site_of(name: str, layout: StoreLayout, options: SiteOptions | None = None) -> Site:
    """The site of a name.

    Raises:
        InputError: there is none of this name, a package that it needs is not installed, or it has no use for an option.
    """
    registry.require_executor(name)
    options = options or SiteOptions()
    site = _class(name)
    for field in fields(SiteOptions):
        if getattr(options, field.name) and field.name not in site.uses:
            others = " or ".join(other for other in registry.BACK_ENDS if field.name in _class(other).uses)
            flag = f"--{field.name.replace('_', '-')}"
            raise InputError(f"{flag}: only with --executor {others}; {name} does not use it")
    return site(name, layout, options)


def _class(name: str) -> type[Site]:
    return cast("type[Site]", registry.back_end(name))


def report_end(plan: Plan, layout: StoreLayout) -> None:
    """Say how the runs of a sweep ended, and which command tries those again that failed.

    Raises:
        typer.Exit: 1 if a run failed.
    """
    console.console.print(f"{plan.sweep}: {plan_tables.summary(plan)}")
    if plan.count("failed"):
        words = shlex.join([plan.sweep, "--failed", "--store", str(layout.root)])
        console.console.print(
            f"see why: tausweep logs {words}\ntry them again: tausweep resume {words}", soft_wrap=True
        )
        raise typer.Exit(1)


@contextmanager
def stopped_with(words: str) -> Iterator[None]:
    """Where a signal stops what is done here, say so and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.console.print(words, soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
