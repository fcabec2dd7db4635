"""The criteria by name.

Called by the resolver and the command line. A criterion's name is its complete definition (`f_mem=0.1@k1/2`,
`f_mem_class3=0.1`, `loss_gap=0.1@t150`, `test_loss=min@t150`, `frechet_pca≤1.25·min`), so names are data:
they stand in results, figures and options, and `parse_criterion` turns them back into values.
"""

from __future__ import annotations

from tausweep.orchestrator.analysis.criteria.criterion import Criterion
from tausweep.orchestrator.analysis.criteria.generalisation import QualityLevel, QualityPlateau
from tausweep.orchestrator.analysis.criteria.loss import (
    LossGap,
    LossGapHalfMaximum,
    LossMinimum,
    SpectralTime,
)
from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction, MemorisedHalfMaximum
from tausweep.storage.errors import InputError, nearest

CRITERIA: list[type[Criterion]] = [
    MemorisedFraction,
    MemorisedHalfMaximum,
    LossGap,
    LossMinimum,
    LossGapHalfMaximum,
    QualityPlateau,
    QualityLevel,
    SpectralTime,
]
"""A criterion is registered by its line here."""


def parse_criterion(text: str) -> Criterion:
    """A criterion from its name; `<=` and `*` may be written for `≤` and `·`.

    Raises:
        InputError: no criterion has this name, or its number is out of range.
    """
    for criterion in CRITERIA:
        if match := criterion.pattern.fullmatch(text.strip()):
            try:
                return criterion.read({key: value for key, value in match.groupdict().items() if value})
            except InputError as error:
                raise InputError(f"criterion {text!r}: {error}") from None
    forms = [form for criterion in CRITERIA for form in criterion.forms]
    raise InputError(f"criterion {text!r}: no such criterion; {nearest(text, forms)}")
