"""The boundary of each condition at its own last budget: widths need not have been trained equally long.

Read by the sentences, the tables and the figures; knows results only.
"""

from __future__ import annotations

from tausweep.orchestrator.analysis.runs.grouping import condition_of
from tausweep.orchestrator.analysis.runs.results import Boundary, FitResult


def last_boundaries(result: FitResult) -> list[Boundary]:
    """One per condition that measured the criterion, in the order of conditions."""
    latest = {condition_of(at): at for at in sorted(result.boundaries, key=lambda at: at.budget)}
    return [latest[condition] for condition in sorted(latest)]
