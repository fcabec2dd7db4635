"""Proposed runs as tables and as JSON.

Called by the command line; computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tausweep.orchestrator.analysis.runs.curves import Condition
from tausweep.orchestrator.analysis.runs.grouping import group_words, width_axis
from tausweep.orchestrator.analysis.runs.results import Estimate
from tausweep.orchestrator.analysis.runs.run_crossings import CONFIDENCE
from tausweep.orchestrator.analysis.runs.wording import interval
from tausweep.orchestrator.refinement.boundary_state import State
from tausweep.orchestrator.refinement.proposals import Proposal
from tausweep.orchestrator.terminal import console


def print_proposals(state: State, proposals: Sequence[Proposal], width: float, *, as_json: bool) -> None:
    """Print n* in each condition, and the proposed runs with their reasons."""
    if as_json:
        console.print_json(
            {
                "criterion": state.criterion,
                "budget": state.budget,
                "boundaries": [_known(state, condition) for condition in state.known],
                "proposals": [_proposal(proposal) for proposal in proposals],
            }
        )
        return
    axis, rows = width_axis(state.known), []
    for condition in state.known:
        known = _known(state, condition)
        enough = "narrow enough" if known["factor"] <= width else f"wider than {width:g}"
        at = Estimate(estimate=known["n_star"], low=known["low"], high=known["high"])
        factor = f"{known['factor']:.3g}"
        rows.append(
            [condition.W, ", ".join(group_words(condition)), at.estimate, interval(at), factor, enough]
        )
    console.print_table(
        [axis, "runs", "n*", "95 %", "factor", ""],
        rows,
        title=f"n* by {state.criterion} at tau = {state.budget}",
    )
    if not proposals:
        console.console.print("nothing to propose" if not state.open(width) else "no more runs are allowed")
        return
    console.console.print()
    console.print_table(
        ["n", axis, "runs", "seed", "steps", "why"],
        [
            [p.n, p.condition.W, ", ".join(group_words(p.condition)), p.seed, state.budget, p.reason]
            for p in proposals
        ],
        title="Most informative runs, in this order",
    )


def _known(state: State, condition: Condition) -> dict[str, Any]:
    posterior = state.known[condition]
    middle, low, high = posterior.interval(CONFIDENCE)
    return {
        "W": condition.W,
        "optimizer": condition.optimizer,
        "batch": condition.batch,
        "settings": dict(condition.settings),
        "n_star": middle,
        "low": low,
        "high": high,
        "factor": posterior.width,
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "n": proposal.n,
        "W": proposal.condition.W,
        "optimizer": proposal.condition.optimizer,
        "seed": proposal.seed,
        "memorises": proposal.memorises,
        "information": proposal.information,
        "reason": proposal.reason,
    }
