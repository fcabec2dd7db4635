"""Flow matching and interpolants as objectives of a run: trained, resumed and sampled like any other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tausweep.jobs.diffusion.interpolants import PATHS, sample_ode, velocity_loss
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import SettingError
from tests.unit.jobs.training.test_loop import METRIC, NEAR, TINY, Recorder, run

KINDS: list[dict[str, Any]] = [
    {"objective": "flow_matching"},
    {"objective": "flow_matching", "sampler": "heun"},
    {"objective": "interpolant"},
    {"objective": "interpolant", "path": "latent", "sampler": "euler"},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_settings({**TINY, **changes})


def objective(**kind: Any) -> Any:
    return build_objective(spec(**kind).objective, torch.device("cpu"))


def curved(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Stands in for a network: not linear in x, and different at each time."""
    return torch.tanh(x + 0.3) * (0.5 + t.to(x.dtype)[:, None, None, None] / 1000)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@kinds
def test_a_stopped_and_resumed_run_has_the_values_of_an_undisturbed_one(kind: dict[str, Any]) -> None:
    whole, first = Recorder(), Recorder(stop_at=13)
    run(spec(**kind), whole)
    run(spec(**kind), first)
    second = Recorder(restored=first.states[13])
    run(spec(**kind), second)
    for table, columns in (("metrics", METRIC), ("neighbours", NEAR)):
        parts = first.values(table, *columns) + second.values(table, *columns)  # type: ignore[arg-type]
        assert parts == whole.values(table, *columns)  # type: ignore[arg-type]
    names = {(metric, t) for _, t, metric, _ in whole.values("metrics", *METRIC)}
    losses = {(name, t) for name in ("train_loss", "test_loss") for t in (50.0, 150.0, 500.0)}
    assert names == losses | {("f_mem", None), ("frechet_pca", None)}


def test_times_are_uniform_from_data_to_noise_and_fixed_by_the_generator() -> None:
    flow = objective(objective="flow_matching")
    t = flow.draw_t(20_000, torch.Generator().manual_seed(3))
    assert torch.equal(t, flow.draw_t(20_000, torch.Generator().manual_seed(3)))
    assert t.dtype == torch.float32
    counts = torch.histc(t, bins=10, min=0, max=1000)
    assert counts.sum() == 20_000
    assert (counts - 2000).abs().max() < 200


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ({"objective": "flow_matching"}, "linear"),
        *(({"objective": "interpolant", "path": path}, path) for path in PATHS),
    ],
)
def test_a_loss_is_measured_at_a_thousandth_of_its_time(
    kind: dict[str, Any], path: str, noise: torch.Tensor
) -> None:
    x0, t = noise.flip(0), torch.full((5,), 150)
    expected = velocity_loss(curved, PATHS[path], x0, noise, torch.full((5,), 0.15))
    assert torch.equal(objective(**kind).loss(curved, x0, noise, t), expected)


@kinds
def test_a_sample_does_not_depend_on_those_beside_it(kind: dict[str, Any], noise: torch.Tensor) -> None:
    flow = objective(**kind)
    together = flow.sample(curved, noise, 7, None)
    apart = torch.cat([flow.sample(curved, start[None], 7, None) for start in noise])
    torch.testing.assert_close(together, apart)
    assert flow.sample(curved, noise[:0], 7, None).shape == (0, 1, 4, 4)


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
@kinds
def test_the_steps_are_the_times_a_network_is_asked(
    kind: dict[str, Any], steps: int, noise: torch.Tensor
) -> None:
    asked = []

    def counting(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(float(t[0]))
        return curved(x, t)

    objective(**kind).sample(counting, noise, steps, None)
    heun = kind.get("sampler") == "heun"
    assert len(asked) == (steps - 1 + steps % 2 if heun else steps)
    assert max(asked) == 1000
    assert min(asked) > 0


def test_the_sampler_is_the_one_that_was_asked_for(noise: torch.Tensor) -> None:
    made = {
        sampler: objective(objective="interpolant", path="linear", sampler=sampler).sample(
            curved, noise, 9, None
        )
        for sampler in ("euler", "heun", "sde")
    }
    torch.testing.assert_close(made["euler"], sample_ode(curved, PATHS["linear"], noise, 9))
    torch.testing.assert_close(made["heun"], sample_ode(curved, PATHS["linear"], noise, 5, "heun"))
    assert not torch.allclose(made["sde"], made["euler"], atol=1e-2)


@pytest.mark.parametrize("t", [0, 1000])
def test_losses_are_refused_at_the_ends_of_a_path(t: int) -> None:
    with pytest.raises(SettingError, match=r"loss_t = .*1000·t for t in 0…1 here: 1 to 999"):
        spec(objective="flow_matching", loss_t=[t])


def test_settings_of_another_objective_are_refused() -> None:
    with pytest.raises(SettingError, match="only with objective = ddpm"):
        spec(objective="flow_matching", prediction="v")
    with pytest.raises(SettingError, match="only with objective = interpolant"):
        spec(objective="flow_matching", path="linear")
    with pytest.raises(SettingError, match="did you mean 'euler'"):
        spec(objective="flow_matching", sampler="eulr")


def test_each_choice_is_a_run_of_its_own() -> None:
    assert len({spec(**kind).run_id for kind in KINDS}) == len(KINDS)
    assert "sampler" not in spec().settings()
