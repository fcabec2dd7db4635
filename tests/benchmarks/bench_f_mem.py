"""How much faster `nearest_two` is than broadcasting, on one thread: `python -m tests.benchmarks.bench_f_mem`.

Both ways of broadcasting take every difference: in blocks, as it is usually written, and sample by sample, which
keeps the differences in cache. Repeats are interleaved, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from tausweep.jobs.evaluation.nearest_neighbours import nearest_two

N, PIXELS, SAMPLES = 2048, 1024, 1000
REPEATS = 5
BLOCK = 64  # 512 MiB of differences; all samples at once would need 8 GiB


def broadcast(samples: Tensor, train: Tensor, block: int) -> Tensor:
    """d1 and d2 of each sample, (M, 2), from all differences in float32."""
    parts = [
        (rows[:, None] - train[None]).square().sum(-1).sqrt().topk(2, largest=False).values
        for rows in torch.split(samples, block)
    ]
    return torch.cat(parts)


def main() -> None:
    """Measure, check that the answers agree, print a table."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(N, PIXELS, generator=generator)
    samples = torch.randn(SAMPLES, PIXELS, generator=generator)
    contenders = {
        "nearest_two": lambda: torch.from_numpy(nearest_two(samples, train).d1),
        "broadcasting, blocks": lambda: broadcast(samples, train, BLOCK)[:, 0],
        "broadcasting, rows": lambda: broadcast(samples, train, 1)[:, 0],
    }
    exact = contenders["nearest_two"]()  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, run in contenders.items():
            start = time.perf_counter()
            d1 = run()
            seconds[name].append(time.perf_counter() - start)
            torch.testing.assert_close(d1.double(), exact, rtol=1e-5, atol=0)

    print(f"n = {N}, d = {PIXELS}, {SAMPLES} samples, 1 thread, {REPEATS} interleaved repeats")
    print(f"{'':<22}{'median s':>10}{'min s':>10}{'ratio':>8}")
    base = statistics.median(seconds["nearest_two"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<22}{median:>10.3f}{min(values):>10.3f}{median / base:>8.1f}")


if __name__ == "__main__":
    main()
