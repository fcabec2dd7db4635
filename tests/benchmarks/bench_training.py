"""Steps a second of our training loop against a plain diffusers loop with the same model, optimiser and batch.

    python -m tests.benchmarks.bench_training

Both train the same U-Net on the same digits, one thread, in turns in one process, so that a machine whose speed
drifts slows both. Goal: never slower.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tausweep.jobs.data.digits import digits
from tausweep.jobs.data.images import split
from tausweep.jobs.models.unet import build_unet
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.jobs.training.loop import train

STEPS, WARM, ROUNDS = 120, 20, 5


def spec(n: int, width: int) -> RunSpec:
    return RunSpec.from_settings(
        {
            "fingerprint": "benchmark",
            "n": n,
            "W": width,
            "multipliers": [1, 1],
            "lr": 1e-3,
            "batch": "min(512, n)",
            "steps": STEPS,
            "eval_first": STEPS,
            "samples": 24,
            "ddim_steps": 2,
            "loss_pairs": 8,
            "pixel_scale": 2,
            "seed": 0,
        }
    )


class Clock:
    """A run's surroundings that keep nothing but the time of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def restore(self) -> None:
        return None

    def save(self, tau: int, state: dict[str, Any]) -> None: ...

    def checkpoint_due(self) -> bool:
        return False

    def publish(self, table: str, columns: object) -> None: ...

    def progress(self, tau: int) -> None:
        self.times.append(time.perf_counter())

    def should_stop(self) -> bool:
        return False

    def now(self) -> float:
        return time.time()

    def speed(self) -> float:
        """Steps a second, without the first and without the last, which is evaluated."""
        return (STEPS - 1 - WARM) / (self.times[STEPS - 2] - self.times[WARM - 1])


def ours(run: RunSpec) -> float:
    clock = Clock()
    train(run, digits(), clock, torch.device("cpu"))
    return clock.speed()


def plain(run: RunSpec) -> float:
    images = torch.from_numpy(split(digits(), run.data).train)
    model = build_unet(run.model, run.data.shape).unet
    optimizer = torch.optim.Adam(model.parameters(), lr=run.optimizer.lr)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    loader = DataLoader(TensorDataset(images), batch_size=run.batch_size, shuffle=True)
    clock, step = Clock(), 0
    while step < STEPS:
        for (clean,) in loader:
            noise = torch.randn_like(clean)
            t = torch.randint(0, 1000, (len(clean),))
            noisy = scheduler.add_noise(clean, noise, t)
            loss = functional.mse_loss(model(noisy, t, return_dict=False)[0], noise)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            clock.progress(step)
    return clock.speed()


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {ROUNDS} rounds in turns of {STEPS} steps, medians")
    print(f"{'W':>4} {'batch':>6} {'ours steps/s':>13} {'plain steps/s':>14} {'ratio':>6}")
    for width, n in [(8, 8), (16, 16), (16, 64), (32, 64)]:
        run = spec(n, width)
        pairs = [(ours(run), plain(run)) for _ in range(ROUNDS)]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(x / y for x, y in pairs)
        print(f"{width:>4} {n:>6} {a:>13.1f} {b:>14.1f} {ratio:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
