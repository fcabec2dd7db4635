"""What the sampler does to f_mem of the same weights, and what it costs: `python -m tests.benchmarks.bench_samplers`.

Trains one network per row of `MODELS` until it has memorised in part, then measures it by each sampler from the same
starting points. The error is the binomial one. A sampler has converged if twice the steps change f_mem by less.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.load import load
from tausweep.jobs.data.split import Split
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.evaluation.evaluator import Evaluator
from tausweep.jobs.ranks import Ranks
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.trainee import stepped_trainee

CPU = torch.device("cpu")
COMMON: dict[str, Any] = {
    "seed": 100,
    "loss_pairs": 4,
    "fingerprint": "benchmark",
}
DIGITS: dict[str, Any] = {
    "data": "digits",
    "pixel_scale": 2,
    "multipliers": [1, 1],
    "attention": [False, True],
    "norm_groups": 4,
    "W": 8,
    "samples": 400,
    "batch": 32,
    "lr": 4e-3,
}
MIXTURE: dict[str, Any] = {
    "data": "gaussian_mixture",
    "d": 8,
    "model": "mlp",
    "samples": 500,
    "batch": 64,
    "lr": 6e-4,
}
MODELS: dict[str, dict[str, Any]] = {
    "digits, U-Net W = 8, n = 16": DIGITS | {"n": 16, "steps": 1000},
    "mixture, d = 8, MLP, n = 64": MIXTURE | {"n": 64, "steps": 5000},
}
SAMPLERS: list[dict[str, Any]] = [
    *({"ddim_steps": steps} for steps in (12, 25, 50, 100, 200, 400)),
    *({"eta": 0.5, "ddim_steps": steps} for steps in (50, 100, 250)),
    *({"eta": 1, "ddim_steps": steps} for steps in (25, 50, 100, 250, 500)),
    {"sampler": "ancestral"},
]


def trained(spec: RunSpec, split: Split) -> nn.Module:
    """The network after the budget of its run."""
    trainee = stepped_trainee(spec, split, build_objective(spec.objective, CPU), CPU, Ranks())
    trainee.model.train()
    tau = 0
    while tau < spec.training.steps:
        tau, _ = trainee.advance(tau, spec.training.steps)
    return trainee.model


def measure(settings: dict[str, Any], split: Split, model: nn.Module) -> tuple[float, float]:
    """f_mem by the sampler of some settings, and milliseconds of CPU per sample: other work hardly moves these."""
    spec = RunSpec.from_settings(settings)
    evaluator = Evaluator(spec, split, build_objective(spec.objective, CPU), CPU, Ranks())
    begin = time.process_time()
    measured = evaluator.measure(model).metrics
    seconds = time.process_time() - begin
    return next(
        value for name, _, value in measured if name == "f_mem"
    ), 1000 * seconds / spec.evaluation.samples


def main() -> None:
    """Train, measure, print a table per model."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread")
    for name, own in MODELS.items():
        settings = COMMON | own
        if own["data"] == "gaussian_mixture":
            del settings["fingerprint"]
        spec = RunSpec.from_settings(settings)
        split = load(spec.data, digits() if own["data"] == "digits" else None)
        model = trained(spec, split)
        print(f"{name}, tau = {spec.training.steps:,}, {spec.evaluation.samples:,} samples")
        print(f"{'sampler':<10} {'eta':>4} {'steps':>6} {'f_mem':>7} {'error':>6} {'CPU ms per sample':>18}")
        for sampler in SAMPLERS:
            f_mem, milliseconds = measure(settings | sampler, split, model)
            error = (f_mem * (1 - f_mem) / spec.evaluation.samples) ** 0.5
            steps = sampler.get("ddim_steps", 1000)
            print(
                f"{sampler.get('sampler', 'ddim'):<10} {sampler.get('eta', ''):>4} {steps:>6} {f_mem:>7.3f} "
                f"{error:>6.3f} {milliseconds:>18.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
