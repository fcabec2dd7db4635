"""What a run costs besides its training, by executor: ours on this machine and on Ray, raw Ray tasks, Ray Tune, Optuna, joblib.

    python -m tests.benchmarks.bench_executors [--rounds 3] [--runs 40] [--json FILE]

Every contender executes the same runs by the same code, the worker's entry point, two at a time; the runs are real and
as small as they get. What counts is the time from the end of the fourth run to that of the last, by the runs' own records:
loading torch into processes that a contender keeps is over by then, and what it needs for each run is in it.
Contenders take turns, so that a machine whose speed drifts slows all of them.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
# As all others: with Ray's own default, 15, its workers lose wherever a machine is busy.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's spelling

from tausweep.orchestrator.execution.local_pool import execute
from tausweep.orchestrator.execution.prepare import prepare
from tausweep.orchestrator.executors.base import JobRequest, worker_options
from tausweep.orchestrator.executors.ray import driver
from tausweep.orchestrator.executors.ray import task as ray_task
from tausweep.orchestrator.plan.plan import Plan, make_plan
from tausweep.orchestrator.sweep.file import read_sweep
from tausweep.storage.attempts.records import last_attempt
from tausweep.storage.attempts.status import run_status
from tausweep.storage.layout import StoreLayout

AT_ONCE = 2
FEW = 2 * AT_ONCE  # runs after which processes that are kept have loaded torch
SWEEP = """
name: {name}
settings: {{data: digits, W: 4, multipliers: [1, 1], batch: 4, lr: 1e-3, n: 4, steps: 2, eval_first: 2,
           eval_per_decade: 1, samples: 12, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0}}
grid: {{seed: {seeds}}}
resources: {{workers: {at_once}, device: cpu}}
"""


class Case:
    """A fresh store with so many runs to do."""

    def __init__(self, folder: Path, name: str, runs: int) -> None:
        file = folder / f"{name}.yaml"
        file.write_text(SWEEP.format(name=name, seeds=list(range(runs)), at_once=AT_ONCE))
        self.layout = StoreLayout(folder / name)
        self.plan: Plan = make_plan(read_sweep(file), self.layout)
        prepare(self.plan, self.layout)
        self.paths = [str(self.layout.run(run.run_id).path) for run in self.plan.runs]
        resources = self.plan.resources
        self.request = JobRequest(job_id=name, layout=self.layout, resources=resources)
        self.options = worker_options(self.request).model_dump_json()

    def done(self) -> bool:
        return all(run_status(self.layout.run(run.run_id)).state == "succeeded" for run in self.plan.runs)


def local(case: Case) -> None:
    execute(case.plan, case.layout, lambda plan: None)


def on_ray(case: Case) -> None:
    from tausweep.storage.layout import RunDirectory

    drive = driver.Drive(
        runs=[RunDirectory(Path(path)) for path in case.paths],
        start=driver.starter(replace(case.request)),
        at_once=driver.IN_RAY,
    )
    assert drive() == 0


def raw_ray(case: Case) -> None:
    import ray

    task = ray.remote(ray_task.execute)
    ray.get([task.remote([path], case.options) for path in case.paths])


def _trainable(config: dict[str, object]) -> None:
    from tausweep.workers.__main__ import main
    from tausweep.workers.stop import StopFlag

    main([config["run"], "--options", config["options"]], StopFlag())


def tune(case: Case, *, reuse: bool) -> None:
    import ray
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(_trainable, {"cpu": 1}),
        param_space={"run": tune.grid_search(case.paths), "options": case.options},
        tune_config=tune.TuneConfig(max_concurrent_trials=AT_ONCE, reuse_actors=reuse),
        run_config=ray.tune.RunConfig(
            storage_path=str(case.layout.root.parent / f"{case.layout.root.name}-tune"), verbose=0
        ),
    )
    tuner.fit()


def _optuna_worker(journal: str, options: list[str]) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="bench", storage=JournalStorage(JournalFileBackend(journal)))

    def objective(trial: optuna.Trial) -> float:
        _trainable({"run": trial.user_attrs["run"], "options": options})
        return 0.0

    # Trials that were enqueued are taken up one by one, by whichever process asks first.
    while any(t.state.name == "WAITING" for t in study.get_trials(deepcopy=False)):
        study.optimize(objective, n_trials=1)


def with_optuna(case: Case) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = str(case.layout.root.parent / f"{case.layout.root.name}.journal")
    study = optuna.create_study(study_name="bench", storage=JournalStorage(JournalFileBackend(journal)))
    for path in case.paths:
        study.enqueue_trial({}, user_attrs={"run": path})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_optuna_worker, args=(journal, case.options)) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def with_joblib(case: Case) -> None:
    from joblib import Parallel, delayed

    Parallel(n_jobs=AT_ONCE, batch_size=1)(
        delayed(_trainable)({"run": path, "options": case.options}) for path in case.paths
    )


CONTENDERS: dict[str, Callable[[Case], None]] = {
    "raw Ray tasks": raw_ray,
    "tausweep, ray": on_ray,
    "tausweep, local": local,
    "Ray Tune, reuse_actors": lambda case: tune(case, reuse=True),
    "Ray Tune": lambda case: tune(case, reuse=False),
    "Optuna, 2 processes": with_optuna,
    "joblib (loky)": with_joblib,
}


def seconds_a_run(folder: Path, label: str, contender: Callable[[Case], None], turn: int, runs: int) -> float:
    case = Case(folder, f"c{list(CONTENDERS).index(label)}-{turn}", runs)
    contender(case)
    assert case.done(), label
    ended = sorted(last_attempt(case.layout.run(run.run_id)).ended for run in case.plan.runs)
    return (ended[-1] - ended[FEW - 1]) / (runs - FEW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import ray

    ray.init(num_cpus=AT_ONCE, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    chosen = {name: CONTENDERS[name] for name in options.only or CONTENDERS}
    found: dict[str, list[float]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(options.rounds):
            order = list(chosen.items())
            for label, contender in order if turn % 2 == 0 else reversed(order):
                found[label].append(seconds_a_run(Path(name), label, contender, turn, options.runs))
                print(f"round {turn + 1}: {label}: {found[label][-1]:.3f} s a run", flush=True)
    ray.shutdown()
    base = found.get("raw Ray tasks") or next(iter(found.values()))
    print(f"\n{'':24} s a run   to raw Ray tasks (ratio of each round, median)")
    for label, each in found.items():
        ratios = [a / b for a, b in zip(each, base, strict=True)]
        print(
            f"{label:24} {statistics.median(each):7.3f}   {statistics.median(ratios):.2f}  {[round(r, 2) for r in ratios]}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
