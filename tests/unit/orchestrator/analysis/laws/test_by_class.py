"""tau_mem by class: of conditional samples with intervals, of others from the metric, and the regimes they make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tausweep.orchestrator.analysis.criteria.memorisation import MemorisedFraction
from tausweep.orchestrator.analysis.criteria.names import parse_criterion
from tausweep.orchestrator.analysis.runs.curves import read_curves
from tausweep.orchestrator.analysis.runs.results import ClassRegime
from tausweep.orchestrator.analysis.runs.wording import regime
from tausweep.orchestrator.api import resolve
from tausweep.orchestrator.figures.draw import draw
from tausweep.orchestrator.terminal.fit_tables import print_fits
from tausweep.storage.tables.schemas import METRICS
from tests.unit.orchestrator import synthetic_study
from tests.unit.orchestrator.synthetic_study import Tables, study

IMAGES = {0: 20, 3: 8, 4: 4}
"""Training images of three classes; the rarer a class, the later its samples are memorised."""
SLOWER = {0: 1.0, 3: 4.0, 4: 1000.0}


def by_class(tables: Tables, *, conditional: bool) -> Tables:
    """Give every sample a class, slow the classes down and add the metrics that a run by class has."""
    near = tables.neighbours.to_pandas()
    labels = np.array(list(IMAGES))[near["sample"].to_numpy() % 3]
    # The gap ratio is √(tau_s/tau)/3 where it is not clipped: a slower class has a larger one.
    near["d1"] = np.minimum(1.9, near["d1"] * np.sqrt(np.vectorize(SLOWER.get)(labels)))
    flags = (near["d1"] < near["d2"] / 3).groupby([near["run_id"], near["tau"], labels]).mean()
    rows = []
    for (run_id, tau, label), value in flags.items():
        head = {"run_id": run_id, "attempt": 1, "tau": tau, "images_seen": tau, "t": None, "wall_time": 1.0}
        rows += [
            head | {"metric": f"f_mem_class{label}", "value": value},
            head | {"metric": f"n_class{label}", "value": IMAGES[label]},
        ]
    runs = tables.runs
    if conditional:
        runs = runs.append_column("conditional", pa.array([True] * runs.num_rows))
    return replace(
        tables,
        runs=runs,
        metrics=pa.concat_tables([tables.metrics, pa.Table.from_pylist(rows, schema=METRICS)]),
        neighbours=pa.Table.from_pandas(near, schema=tables.neighbours.schema, preserve_index=False),
    )


@pytest.fixture(scope="module")
def conditional():
    return by_class(study(n_values=(16, 32), seeds=(0, 1), samples=300), conditional=True)


@pytest.fixture(scope="module")
def plain():
    return by_class(study(n_values=(16, 32), seeds=(0, 1), samples=300), conditional=False)


def resolved(tables, **options):
    return resolve(*tables.measured, sweep="synthetic", **{"draws": 50} | options)


def of_class(result, label, n=16):
    return next(found for found in result.by_class if (found.label, found.n) == (label, n))


@pytest.mark.parametrize("kind", ["conditional", "plain"])
def test_each_class_has_its_own_tau_mem(kind, request):
    result = resolved(request.getfixturevalue(kind))
    fast, slow = of_class(result, 0), of_class(result, 3)
    assert slow.tau.estimate / fast.tau.estimate == pytest.approx(4, rel=0.35)
    assert (fast.criterion, slow.criterion) == ("f_mem_class0=0.1", "f_mem_class3=0.1")
    assert [found.images for found in (fast, slow, of_class(result, 4))] == [20, 8, 4]


@pytest.mark.parametrize("kind", ["conditional", "plain"])
def test_a_class_that_is_not_memorised_within_the_budget_is_censored(kind, request):
    late = of_class(resolved(request.getfixturevalue(kind)), 4)
    assert (late.tau.estimate, late.censored) == (None, "right")
    assert late.bound == pytest.approx(20_000)
    assert (late.n_points, late.n_censored) == (0, 2)


def test_the_regime_is_mixed_where_only_some_classes_are_memorised(conditional):
    result = resolved(conditional)
    assert [(found.n, found.memorised, found.not_yet) for found in result.regimes] == [
        (16, [0, 3], [4]),
        (32, [0, 3], [4]),
    ]
    assert regime(result.regimes[0]) == "mixed: classes 0, 3 memorised, 4 not yet"


@pytest.mark.parametrize(
    ("memorised", "not_yet", "words"),
    [([0, 1], [], "every class memorised (0, 1)"), ([], [0, 1], "no class memorised yet (0, 1)")],
)
def test_a_regime_in_words(memorised, not_yet, words):
    found = ClassRegime(
        W=8, p=1, optimizer="adam", batch="n", settings={}, criterion="f_mem=0.1", n=4, memorised=memorised,
        not_yet=not_yet,
    )  # fmt: skip
    assert regime(found) == words


def test_the_samples_of_a_class_and_its_metric_say_the_same(conditional):
    for run in read_curves(*conditional.measured, k=1 / 3):
        for label in IMAGES:
            found = run.curve_of(MemorisedFraction(label=label))
            expected = run.metrics[f"f_mem_class{label}", None]
            np.testing.assert_array_equal(found.tau, expected.tau)
            np.testing.assert_allclose(found.value, expected.value)


def test_only_classes_of_conditional_samples_are_resampled_and_seen_at_another_k(conditional, plain):
    chosen = [parse_criterion(name) for name in ("f_mem_class3=0.1", "f_mem_class3=0.1@k1/2")]
    with_samples, without = (resolved(t, criteria=chosen).runs[0].crossings for t in (conditional, plain))
    assert with_samples["f_mem_class3=0.1"].low < with_samples["f_mem_class3=0.1"].tau
    assert with_samples["f_mem_class3=0.1@k1/2"].tau < with_samples["f_mem_class3=0.1"].tau
    assert without["f_mem_class3=0.1"].low is None
    assert "f_mem_class3=0.1@k1/2" not in without


def test_a_single_run_without_samples_by_class_has_no_interval():
    tables = by_class(study(n_values=(16,), seeds=(0,), samples=300), conditional=False)
    found = of_class(resolved(tables), 3)
    assert found.tau.estimate is not None
    assert (found.tau.low, found.tau.high) == (None, None)


def test_a_law_can_be_asked_for_by_class(conditional):
    (fit,) = resolved(conditional, criteria=[parse_criterion("f_mem_class3=0.1")]).fits
    assert (fit.criterion, fit.n_points, fit.n_censored) == ("f_mem_class3=0.1", 4, 0)
    assert fit.exponent.estimate == pytest.approx(1, abs=0.4)


def test_classes_change_nothing_else_of_a_result(conditional):
    plain = replace(
        conditional, metrics=conditional.metrics.filter(pa.compute.is_valid(conditional.metrics["t"]))
    )
    with_classes, without = resolved(conditional), resolved(plain)
    assert without.by_class == without.regimes == []
    of_f_mem = [f for f in with_classes.timescales if f.criterion.startswith("f_mem")]
    assert of_f_mem == [f for f in without.timescales if f.criterion.startswith("f_mem")]


def test_the_terminal_and_the_figures_show_the_classes(conditional, tmp_path, capsys):
    result = resolved(conditional)
    print_fits(result, everything=True)
    shown = capsys.readouterr().out
    assert "By class: median tau_mem by f_mem=0.1" in shown
    assert "mixed: classes 0, 3 memorised, 4 not yet" in shown
    assert "> 20,000" in shown
    drawn = draw(synthetic_study.resolved(conditional), synthetic_study.kept(conditional), tmp_path, "png")
    names = [path.name for path in drawn.paths]
    assert names[-2:] == ["classes.png", "class_frequency.png"]
    for path in drawn.paths[-2:]:
        pixels = np.asarray(Image.open(path).convert("L"))
        assert (pixels < 128).mean() > 0.005
