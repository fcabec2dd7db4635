"""The training loop on real digits: deterministic, exactly resumable, and aloud when it diverges."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tausweep.jobs.data.batches import batch_indices
from tausweep.jobs.data.digits import digits
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.loop import Columns, Outcome, train
from tausweep.storage.errors import NotFiniteError
from tausweep.storage.layout import TableName

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "fingerprint": "x",
    "n": 6,
    "W": 4,
    "multipliers": [1, 1],
    "lr": 3e-3,
    "batch": "min(4, n)",
    "steps": 24,
    "eval_first": 6,
    "eval_per_decade": 4,
    "samples": 12,
    "ddim_steps": 3,
    "loss_pairs": 16,
    "frechet_dims": 3,
    "gallery": 2,
    "pixel_scale": 2,
    "seed": 0,
}


class Recorder:
    """A run's surroundings in memory; asks to stop after a given step."""

    def __init__(self, *, stop_at: int | None = None, restored: dict[str, Any] | None = None) -> None:
        self.rows: dict[TableName, list[Columns]] = {"metrics": [], "neighbours": [], "samples": []}
        self.states: dict[int, dict[str, Any]] = {}
        self._stop_at, self._restored, self._tau = stop_at, restored, 0

    def restore(self) -> dict[str, Any] | None:
        return self._restored

    def save(self, tau: int, state: dict[str, Any]) -> None:
        copy = torch.utils._pytree.tree_map(lambda x: x.clone() if torch.is_tensor(x) else x, state)
        self.states[tau] = copy

    def checkpoint_due(self) -> bool:
        return False

    def publish(self, table: TableName, columns: Columns) -> None:
        self.rows[table].append(columns)

    def progress(self, tau: int) -> None:
        self._tau = tau

    def should_stop(self) -> bool:
        return self._stop_at is not None and self._tau >= self._stop_at

    def now(self) -> float:
        return time.time()

    def values(self, table: TableName, *columns: str) -> list[tuple[Any, ...]]:
        parts = [zip(*(list(part[name]) for name in columns), strict=True) for part in self.rows[table]]
        return [row for part in parts for row in part]


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_settings({**TINY, **changes})


def run(run_spec: RunSpec, recorder: Recorder, **features: Any) -> Outcome:
    return train(run_spec, digits(), recorder, CPU, **features)


METRIC = ("tau", "t", "metric", "value")
NEAR = ("tau", "sample", "d1", "d2", "nn1", "nn2")


@pytest.fixture(scope="module")
def plain() -> Recorder:
    """What the tiny run published; only to be read."""
    recorder = Recorder()
    assert run(spec(), recorder) == Outcome(tau=24, finished=True)
    return recorder


def test_evaluates_at_the_taus_of_the_spec_and_publishes_every_metric_and_sample(plain: Recorder) -> None:
    rows = plain.values("metrics", *METRIC)
    expected = {("f_mem", None), ("frechet_pca", None)}
    expected |= {(name, float(t)) for name in ("train_loss", "test_loss") for t in (50, 150, 500)}
    assert Counter(tau for tau, *_ in rows) == dict.fromkeys(spec().taus, len(expected))
    assert {(metric, t) for _, t, metric, _ in rows} == expected
    assert len(plain.values("neighbours", *NEAR)) == 12 * len(spec().taus)
    assert len(plain.values("samples", "tau", "sample")) == 2 * len(spec().taus)


def test_f_mem_is_the_fraction_of_the_published_neighbours() -> None:
    recorder = Recorder()
    run(spec(n=2, steps=40, lr=0.02), recorder)
    near = recorder.values("neighbours", *NEAR)
    for tau, _, metric, value in recorder.values("metrics", *METRIC):
        if metric == "f_mem":
            ratios = [row[2] / row[3] for row in near if row[0] == tau]
            assert value == np.mean(np.array(ratios) < 1 / 3)


def test_two_runs_of_one_spec_are_bit_equal() -> None:
    """Adam's are where a run that was stopped is compared with an undisturbed one."""
    first, second = Recorder(), Recorder()
    run(spec(optimizer="sgd", clip=1.0, warmup=9), first)
    run(spec(optimizer="sgd", clip=1.0, warmup=9), second)
    assert first.values("metrics", *METRIC) == second.values("metrics", *METRIC)
    assert first.values("neighbours", *NEAR) == second.values("neighbours", *NEAR)


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        ({"dropout": 0.3}, (1, 11, 23)),
        ({"optimizer": "sgd", "dropout": 0.3, "warmup": 15}, (11,)),
        ({"prediction": "v", "batch": 5}, (11,)),
        ({"optimizer": "adamw", "weight_decay": 0.5}, (11,)),
        ({"optimizer": "gd", "batch": "n"}, (11,)),
    ],
    ids=[
        "adam with dropout",
        "sgd in warm-up with dropout",
        "v, batch that does not divide n",
        "adamw",
        "gd",
    ],
)
def test_a_run_stopped_anywhere_and_resumed_gives_the_bits_of_an_undisturbed_one(
    settings: dict[str, Any], stops: tuple[int, ...]
) -> None:
    undisturbed = Recorder()
    run(spec(**settings), undisturbed)
    for stop_at in stops:
        before = Recorder(stop_at=stop_at)
        assert run(spec(**settings), before) == Outcome(tau=stop_at, finished=False)
        torch.manual_seed(12345)  # another process has another global generator
        after = Recorder(restored=before.states[stop_at])
        assert run(spec(**settings), after).finished
        for table, columns in (("metrics", METRIC), ("neighbours", NEAR)):
            together = before.values(table, *columns) + after.values(table, *columns)
            assert together == undisturbed.values(table, *columns)
        last = undisturbed.states[24]["model"]
        assert all(torch.equal(after.states[24]["model"][name], tensor) for name, tensor in last.items())


def test_how_often_a_run_is_evaluated_does_not_change_what_it_learns() -> None:
    often, seldom = Recorder(), Recorder()
    run(spec(eval_per_decade=30, dropout=0.2), often)
    run(spec(eval_per_decade=1, dropout=0.2), seldom)
    for name, tensor in often.states[24]["model"].items():
        assert torch.equal(tensor, seldom.states[24]["model"][name])


def test_a_seed_changes_weights_batches_and_samples(plain: Recorder) -> None:
    other = Recorder()
    run(spec(seed=1), other)
    assert plain.values("neighbours", *NEAR) != other.values("neighbours", *NEAR)


def test_a_loss_that_is_not_finite_fails_with_its_step_and_yields_no_metrics() -> None:
    recorder = Recorder()
    with pytest.raises(
        NotFiniteError, match=r"the training loss is (nan|inf) at step \d+; the losses before: "
    ):
        run(spec(optimizer="sgd", lr=1e6, steps=40, eval_first=39), recorder)
    assert recorder.rows["metrics"] == []
    assert recorder.states == {}


def test_published_metrics_are_finite(plain: Recorder) -> None:
    assert all(math.isfinite(value) for *_, value in plain.values("metrics", *METRIC))


@given(
    n=st.integers(2, 40), batch=st.integers(1, 90), seed=st.integers(0, 2**63 - 1), steps=st.integers(1, 30)
)
def test_batches_show_every_image_equally_often(n: int, batch: int, seed: int, steps: int) -> None:
    seen = np.concatenate([batch_indices(seed, n, batch, tau) for tau in range(1, steps + 1)])
    assert len(seen) == steps * batch
    counts = np.bincount(seen, minlength=n)
    assert counts.max() - counts.min() <= 1
    whole = len(seen) // n
    for epoch in range(whole):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_warm_up_raises_the_learning_rate_linearly_to_its_value() -> None:
    recorder = Recorder(stop_at=3)
    run(spec(warmup=4, lr=0.01), recorder)
    assert recorder.states[3]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0075)
    recorder = Recorder(stop_at=9)
    run(spec(warmup=4, lr=0.01), recorder)
    assert recorder.states[9]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.01)


# --- how the network computes --------------------------------------------------------------------------------------


def measured(recorder: Recorder) -> np.ndarray:
    """Every metric of a short run, float64 (evaluations × metrics,)."""
    return np.array([value for *_, value in recorder.values("metrics", *METRIC)])


@pytest.fixture(scope="module")
def bf16() -> Recorder:
    """What the tiny run publishes in bfloat16; only to be read."""
    recorder = Recorder()
    run(spec(precision="bf16"), recorder)
    return recorder


def test_bf16_trains_to_nearly_the_same_losses_as_float32(plain: Recorder, bf16: Recorder) -> None:
    assert np.isfinite(measured(bf16)).all()
    assert not np.array_equal(measured(bf16), measured(plain))
    np.testing.assert_allclose(measured(bf16), measured(plain), rtol=0.1)


def test_bf16_keeps_weights_and_what_is_published_in_float32(bf16: Recorder) -> None:
    assert {tensor.dtype for tensor in bf16.states[24]["model"].values()} == {torch.float32}
    assert {part["image"][0].dtype for part in bf16.rows["samples"]} == {np.dtype(np.float32)}


def test_channels_last_computes_the_same_to_rounding(plain: Recorder) -> None:
    recorder = Recorder()
    run(spec(channels_last=True), recorder)
    weight = recorder.states[24]["model"]["unet.conv_in.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(measured(recorder), measured(plain), rtol=1e-3)


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"channels_last": True}])
def test_a_resumed_run_gives_the_bits_of_an_undisturbed_one_also_so(settings: dict[str, Any]) -> None:
    undisturbed, before = Recorder(), Recorder(stop_at=11)
    run(spec(dropout=0.3, **settings), undisturbed)
    run(spec(dropout=0.3, **settings), before)
    after = Recorder(restored=before.states[11])
    run(spec(dropout=0.3, **settings), after)
    for name, tensor in undisturbed.states[24]["model"].items():
        assert torch.equal(after.states[24]["model"][name], tensor)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
def test_a_compiled_network_computes_the_same_to_rounding() -> None:
    few = {
        "steps": 6,
        "loss_pairs": 4,
        "samples": 4,
        "loss_t": [50],
    }  # each new shape is compiled anew, for a minute
    compiled, eager = Recorder(), Recorder()
    run(spec(compile=True, **few), compiled)
    run(spec(**few), eager)
    np.testing.assert_allclose(measured(compiled), measured(eager), rtol=1e-3)


# --- vectors, and the network of vectors ---------------------------------------------------------------------------

MIXTURE: dict[str, Any] = {
    "data": "gaussian_mixture",
    "d": 4,
    "model": "mlp",
    "W": 8,
    "blocks": 2,
    "n": 6,
    "lr": 3e-3,
    "batch": "min(4, n)",
    "steps": 24,
    "eval_first": 6,
    "samples": 12,
    "ddim_steps": 3,
    "loss_pairs": 16,
    "seed": 0,
}


def run_mixture(recorder: Recorder, **changes: Any) -> Outcome:
    return train(RunSpec.from_settings({**MIXTURE, **changes}), None, recorder, CPU)


def test_a_mixture_is_measured_against_its_population_and_has_no_pictures() -> None:
    recorder = Recorder()
    assert run_mixture(recorder).finished
    rows = recorder.values("metrics", *METRIC)
    by_t = {"train_loss", "test_loss", "score_error", "excess_loss"}
    expected = {(name, float(t)) for name in by_t for t in (50, 150, 500)}
    assert {(metric, t) for _, t, metric, _ in rows} == expected | {
        ("f_mem", None),
        ("frechet_population", None),
    }
    assert recorder.rows["samples"] == []
    assert len(recorder.values("neighbours", *NEAR)) == 12 * len({tau for tau, *_ in rows})


def test_a_resumed_mixture_gives_the_bits_of_an_undisturbed_one() -> None:
    undisturbed, before = Recorder(), Recorder(stop_at=11)
    run_mixture(undisturbed)
    run_mixture(before)
    after = Recorder(restored=before.states[11])
    run_mixture(after)
    together = before.values("metrics", *METRIC) + after.values("metrics", *METRIC)
    assert together == undisturbed.values("metrics", *METRIC)


def test_the_mlp_learns_the_mixture() -> None:
    recorder = Recorder()
    run_mixture(recorder, W=32, n=2000, batch=128, steps=600, lr=3e-3, eval_first=600, loss_pairs=400)
    found = {(metric, t): value for _, t, metric, value in recorder.values("metrics", *METRIC)}
    assert found["score_error", 500.0] < 0.05  # that of ε̂ = 0 is 0.9
    assert found["excess_loss", 500.0] == pytest.approx(found["score_error", 500.0], abs=0.1)


def test_the_mlp_trains_on_images_too() -> None:
    recorder = Recorder()
    run(spec(model="mlp", W=16, blocks=1, multipliers=None), recorder)
    assert len(recorder.values("samples", "tau", "sample")) == 2 * len(spec().taus)
    assert recorder.states[24]["model"]["first.weight"].shape == (16, 64)
