"""Divides the runs of a sweep into conditions: one width each, named by the settings that differ.

Called by the resolver, the figures and the report with the runs that have data; knows settings, but no
measurements.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tausweep.jobs.spec.run_spec import kind_names
from tausweep.orchestrator.analysis.runs.curves import Condition, RunCurves

_REPLICATES = frozenset({"n", "seed", "subset"})
_WIDTHS = frozenset({"W", "psi_p"})
# Not the sampler (ddim_steps, eta): it changes f_mem of the same weights.
_MEASURING = frozenset(
    {
        "steps",
        "eval_first",
        "eval_per_decade",
        "loss_t",
        "loss_pairs",
        "samples",
        "frechet_dims",
        "gallery",
        "extractor",
        "extractor_weights",
        "fid_references",
        "by_class",
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRuns:
    """The measured runs of a sweep, divided into conditions.

    Attributes:
        curves: the curves by run id.
        of_run: the condition of each run id.
        pooled: names of settings that change with n.
    """

    curves: list[RunCurves]
    of_run: dict[str, Condition]
    pooled: list[str]


def divided(runs: Sequence[RunCurves]) -> MeasuredRuns:
    """Divide runs into conditions.

    A setting that differs between runs of the same width, optimizer, batch and n divides them, unless other
    dividing settings already determine its value: `beta_start` belongs to an objective, a learning rate may
    be chosen for each. A setting that changes only together with n must not divide, or no fit over n would
    remain; it is named instead.
    """
    groups: dict[tuple[str, str], list[RunCurves]] = defaultdict(list)
    for run in runs:
        groups[_text(run, "optimizer"), _text(run, "batch")].append(run)
    of_run: dict[str, Condition] = {}
    pooled: set[str] = set()
    for (optimizer, batch), members in groups.items():
        names = _names(members)
        dividing = list(_dividing(members, names))
        for run in members:
            of_run[run.run_id] = Condition(
                W=run.width,
                optimizer=optimizer,
                batch=batch,
                settings=tuple((name, json.dumps(run.settings.get(name))) for name in sorted(dividing)),
                width_axis=run.width_axis,
            )
        pooled.update(
            name
            for name in names
            if name not in dividing
            and _parts(members, [*_WIDTHS, *dividing, name]) > _parts(members, [*_WIDTHS, *dividing])
        )
    return MeasuredRuns(curves=list(runs), of_run=of_run, pooled=sorted(pooled))


def _names(runs: Iterable[RunCurves]) -> list[str]:
    """Settings that may divide runs: kinds first, then words, then numbers.

    Of two that divide alike the first is kept.
    """
    kinds, words = kind_names(), set()
    for run in runs:
        words |= {name for name, value in run.settings.items() if isinstance(value, str)}
    names = {name for run in runs for name in run.settings}
    names -= _REPLICATES | _WIDTHS | _MEASURING | {"optimizer", "batch"}
    return sorted(names, key=lambda name: (name not in kinds, name == "fingerprint", name not in words, name))


def _dividing(runs: Sequence[RunCurves], names: Sequence[str]) -> Iterator[str]:
    known = ["n", *_WIDTHS]
    for name in names:
        if _parts(runs, [*known, name]) > _parts(runs, known):
            known.append(name)
            yield name


def _parts(runs: Iterable[RunCurves], names: Sequence[str]) -> int:
    """The number of parts into which settings divide runs."""
    return len({tuple(json.dumps(run.settings.get(name)) for name in names) for run in runs})


def _text(run: RunCurves, name: str) -> str:
    return str(run.settings.get(name, ""))
