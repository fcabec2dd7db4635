"""Metrics of generated samples: one function per metric, and the list of them.

Called by the evaluator at every evaluation. The evaluator itself measures losses on noised samples. Distances
to held-out samples, which are prepared once per run, come from `jobs.quality.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tausweep.jobs.evaluation.by_class import memorised_by_class
from tausweep.jobs.evaluation.gap_ratio import GAP_THRESHOLD, f_mem
from tausweep.jobs.evaluation.measurement import Generated, Row
from tausweep.jobs.spec.metrics import F_MEM

Metric = Callable[[Generated], Iterable[Row]]
"""Rows of one evaluation; none of what could not be measured."""


def memorised_fraction(generated: Generated) -> Iterator[Row]:
    """`f_mem` at the paper's threshold of the gap ratio."""
    near = generated.neighbours
    yield F_MEM, None, f_mem(near.d1, near.d2, GAP_THRESHOLD)


METRICS: list[Metric] = [memorised_fraction, memorised_by_class]
"""A metric is registered by its line here. Its name is a column of the store's `evaluations` at once."""
