"""Tables of the store as one value per run: its settings, and its curves over tau.

The resolver and the figures both read their tables through this module, so they agree. What a run did not
measure is None. Knows neither criteria nor fits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tausweep.jobs.evaluation.gap_ratio import GAP_THRESHOLD, memorised
from tausweep.jobs.spec.metrics import F_MEM, TEST_LOSS, TRAIN_LOSS, TRAINING_IMAGES, class_of, of_class
from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.first_crossing import Floats
from tausweep.orchestrator.analysis.criteria.memorisation import OfSamples

WidthAxis = Literal["W", "p"]
"""What widths are measured by: the base width W of a network that has one, else the parameters p."""
_PROGRESS = frozenset({"run_id", "state", "attempt", "tau", "failure", "error", "p"})


class Curve(NamedTuple):
    """A measurement over tau: tau (T,) int64 ascending, at least 1; value (T,) float64; T at least 1."""

    tau: NDArray[np.int64]
    value: Floats


class Histories(NamedTuple):
    """Samples along tau.

    Attributes:
        tau: (T,) int64 ascending.
        d1, d2: (T, S) float64 distances.
        sample: (S,) number of each sample in the run.
        whole: whether no evaluation was left out.
    """

    tau: NDArray[np.int64]
    d1: Floats
    d2: Floats
    sample: NDArray[np.int64]
    whole: bool

    def memorised(self, k: float) -> NDArray[np.bool_]:
        """(T, S) whether sample s is memorised at each tau, by the threshold k of the gap ratio."""
        return memorised(self.d1, self.d2, k)


@dataclass(frozen=True, kw_only=True, order=True)
class Condition:
    """A condition: runs that differ only in n, seed and subset. Each has one fit.

    Attributes:
        W: base width; p for runs without W.
        optimizer: the kind of optimizer.
        batch: the batch policy as written, such as `min(512, n)`.
        settings: other settings that divide the runs, (name, value as JSON) pairs.
        width_axis: whether W holds W or p.
    """

    W: int
    optimizer: str
    batch: str
    settings: tuple[tuple[str, str], ...] = ()
    width_axis: WidthAxis = "W"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunCurves:
    """One run with data.

    Attributes:
        settings: its flat settings, without absent ones.
        p: parameters of its network.
        k: threshold of the gap ratio for criteria without their own.
        histories: histories of its generated samples; None if no neighbours were measured.
        metrics: curves by (metric, t).
    """

    run_id: str
    state: str
    p: int
    k: float
    settings: dict[str, Any]
    histories: Histories | None
    metrics: dict[tuple[str, float | None], Curve]

    @property
    def n(self) -> int:
        """Training-set size."""
        return int(self.settings["n"])

    @property
    def width_axis(self) -> WidthAxis:
        """The measure of its width: the base width W of a network that has one, else p."""
        return "W" if "W" in self.settings else "p"

    @property
    def width(self) -> int:
        """W, or p for a run without W."""
        return int(self.settings.get("W", self.p))

    @property
    def budget(self) -> int:
        """Largest tau with a measurement."""
        taus = [curve.tau for curve in self.metrics.values()]
        return int(max(tau[-1] for tau in [*taus, *([self.histories.tau] if self.histories else [])]))

    def curve(self, measure: str, t: float | None = None) -> Curve | None:
        """`f_mem` from the neighbours, `loss_gap` at t, or a metric by its name; None if not measured."""
        if measure == F_MEM:
            return self.f_mem(self.k)
        if measure == "loss_gap":
            return _difference(self.metrics.get((TEST_LOSS, t)), self.metrics.get((TRAIN_LOSS, t)))
        return self.metrics.get((measure, t))

    @cached_property
    def classes(self) -> dict[int, int]:
        """Training images of each class with a measured f_mem, ascending; None if not measured per class."""
        counts = {
            label: int(curve.value[-1])
            for (name, _), curve in self.metrics.items()
            if (label := class_of(TRAINING_IMAGES, name)) is not None
        }
        return dict(sorted(counts.items()))

    def memorised(self, criterion: Criterion) -> NDArray[np.bool_] | None:
        """(T, S) which of a criterion's samples are memorised at each tau; None if unknown.

        Samples of a conditional run have a fixed class, see `jobs.diffusion.guidance.classes_of_samples`;
        those of others change theirs along tau, and only the fraction is known.
        """
        if self.histories is None or not isinstance(criterion, OfSamples):
            return None
        flags = self.histories.memorised(criterion.k or self.k)
        if criterion.label is None:
            return flags
        if criterion.label not in self.classes or not self.settings.get("conditional"):
            return None
        place = list(self.classes).index(criterion.label)
        return flags[:, self.histories.sample % len(self.classes) == place]

    def f_mem(self, k: float) -> Curve | None:
        """The memorised fraction at a threshold of the gap ratio; None if no neighbours were measured."""
        if self.histories is None:
            return None
        return Curve(self.histories.tau, self.histories.memorised(k).mean(axis=1))

    def curve_of(self, criterion: Criterion) -> Curve | None:
        """The curve that a criterion reads."""
        if isinstance(criterion, OfSamples):
            flags = self.memorised(criterion)
            if flags is not None and self.histories is not None:
                return Curve(self.histories.tau, flags.mean(axis=1))
            if criterion.label is None or not math.isclose(criterion.k or self.k, GAP_THRESHOLD):
                return None  # the metric was measured at that threshold
            return self.metrics.get((of_class(F_MEM, criterion.label), None))
        return self.curve(criterion.measure, criterion.t)


def read_curves(runs: pa.Table, metrics: pa.Table, neighbours: pa.Table, *, k: float) -> list[RunCurves]:
    """All runs with a measurement, by run id.

    Args:
        runs: one row per run, settings as columns.
        metrics: rows of `storage.tables.schemas.METRICS`, the attempt rule applied.
        neighbours: rows of `storage.tables.schemas.NEIGHBOURS`, the attempt rule applied.
        k: threshold of the gap ratio d1/d2 below which a sample is memorised.
    """
    values, distances = _by_run(metrics, ["tau"]), _by_run(neighbours, ["tau", "sample"])
    curves = []
    for row in sorted(runs.to_pylist(), key=lambda row: str(row["run_id"])):
        run_id = row["run_id"]
        if run_id not in values and run_id not in distances:
            continue
        curves.append(
            RunCurves(
                run_id=run_id,
                state=row["state"],
                p=row["p"],
                k=k,
                settings={
                    key: value for key, value in row.items() if key not in _PROGRESS and value is not None
                },
                histories=_histories(distances[run_id]) if run_id in distances else None,
                metrics=_metrics(values[run_id]) if run_id in values else {},
            )
        )
    return curves


def _by_run(table: pa.Table, order: list[str]) -> dict[str, pa.Table]:
    # Zero-copy slices of the sorted table. tau = 0 has no logarithm: every curve starts at tau = 1 or later.
    rows = table.filter(pc.field("tau") > 0).sort_by([(key, "ascending") for key in ["run_id", *order]])
    # Where each run ends is read off the sorted column: groups of `group_by` come in any order.
    ends = pc.run_end_encode(rows["run_id"].combine_chunks())
    slices, start = {}, 0
    for run_id, end in zip(ends.values.to_pylist(), ends.run_ends.to_pylist(), strict=True):
        slices[run_id] = rows.slice(start, end - start)
        start = end
    return slices


def _metrics(rows: pa.Table) -> dict[tuple[str, float | None], Curve]:
    points: dict[tuple[str, float | None], list[tuple[int, float]]] = defaultdict(list)
    columns = (rows[name].to_pylist() for name in ("metric", "t", "tau", "value"))
    for metric, t, tau, value in zip(*columns, strict=True):
        points[metric, t].append((tau, value))
    return {
        key: Curve(*(np.array(column) for column in zip(*measured, strict=True)))
        for key, measured in points.items()
    }


def _histories(rows: pa.Table) -> Histories:
    # An evaluation that lacks samples (a lost part) is left out: resampling needs complete rows.
    taus, at_tau = np.unique(rows["tau"].to_numpy(), return_inverse=True)
    samples, at_sample = np.unique(rows["sample"].to_numpy(), return_inverse=True)
    present = np.zeros((len(taus), len(samples)), dtype=bool)
    d1, d2 = np.zeros(present.shape), np.zeros(present.shape)
    d1[at_tau, at_sample], d2[at_tau, at_sample] = rows["d1"].to_numpy(), rows["d2"].to_numpy()
    present[at_tau, at_sample] = True
    whole = present.sum(axis=1) == present.sum(axis=1).max()
    kept = present[whole].all(axis=0)
    return Histories(
        taus[whole], d1[whole][:, kept], d2[whole][:, kept], samples[kept].astype(np.int64), bool(whole.all())
    )


def _difference(a: Curve | None, b: Curve | None) -> Curve | None:
    if a is None or b is None:
        return None
    tau, at_a, at_b = np.intersect1d(a.tau, b.tau, assume_unique=True, return_indices=True)
    return Curve(tau, a.value[at_a] - b.value[at_b]) if len(tau) else None
