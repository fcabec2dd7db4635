"""Every block of the page of worked queries, against the same sums in plain Python over a store of eight runs."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, stdev

import pytest

from tausweep.storage.attempts.records import AttemptRecord, Process, write_attempt
from tausweep.storage.layout import StoreLayout
from tausweep.storage.tables.part_writer import PartWriter
from tausweep.storage.tables.scan import read_table
from tausweep.storage.tables.sql import query
from tausweep.workers.inputs import open_spec
from tests.unit.orchestrator.finished_store import SWEEP, prepared, run_command, write_parts, write_sweep

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "queries.md").read_text()
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])
QUERIES = {
    title: found[1]
    for title, text in SECTIONS.items()
    if (found := re.search(r"```sql\n(.*?)```", text, re.S))
}
LAST = "In pandas, polars and DuckDB"
(EXPORT,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
*TOOLS, READING = re.findall(r"```python\n(.*?)```", PAGE, re.S)
A100 = "NVIDIA A100"


def execution(state="succeeded", *, seconds, tau, resumed=0, host="node-a", device="cpu", **fields):
    return {
        "state": state,
        "seconds": seconds,
        "tau": tau,
        "resumed_from_tau": resumed,
        "host": host,
        "device": device,
        **fields,
    }


OUT_OF_MEMORY = {"failure": "out_of_memory", "error": "CUDA out of memory"}
EXECUTIONS = [
    *([execution(seconds=100 + 10 * i, tau=100)] for i in range(4)),
    [
        execution("preempted", seconds=30, tau=19, host="node-b", device=A100),
        execution(seconds=50, tau=100, resumed=11, device=A100),
    ],
    [
        execution("failed", seconds=5, tau=0, host="node-b", device=A100, **OUT_OF_MEMORY),
        execution("failed", seconds=20, tau=12, failure="error", error="ValueError: why"),
    ],
    [
        execution("failed", seconds=600, tau=None, resumed=None, host="node-b", failure="lost_worker"),
        execution(seconds=90, tau=100),
    ],
    [execution("preempted", seconds=40, tau=19, host="node-b")],
]
"""Of each run its attempts; each begins 1000 s after the one before."""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The store, and (run, spec, attempts) of each run in it."""
    folder = tmp_path_factory.mktemp("queries")
    text = SWEEP.replace("name: tiny", "name: quickstart").replace("W: [4]", "W: [4, 8]")
    text = text.replace("optimizer: [adam, sgd]", "optimizer: [adam]").replace(
        "  optimizer=sgd: {lr: 0.02}\n", ""
    )
    text = text.replace("steps: 60", "steps: 100\n  eval_first: 6\n  eval_per_decade: 4")
    store = StoreLayout(folder / "runs")
    runs = [store.run(run.run_id) for run in prepared(write_sweep(folder, text), store).runs]
    for run, executions in zip(runs, EXECUTIONS, strict=True):
        for number, fields in enumerate(executions, start=1):
            execute(run, number, **fields)
    return store, [(run.run_id, open_spec(run), of) for run, of in zip(runs, EXECUTIONS, strict=True)]


def execute(run, number, *, seconds, host, device, **fields):
    process = Process(host=host, pid=7, started=0.0, namespace="")
    started = 1000.0 * number
    record = AttemptRecord(
        attempt=number,
        started=started,
        ended=started + seconds,
        process=process,
        provenance={"device": device},
        **fields,
    )
    write_attempt(run, record)
    spec = open_spec(run)
    done = range((record.resumed_from_tau or 0) + 1, (record.tau or 0) + 1)
    write_parts(PartWriter(run, attempt=number), spec, taus=[tau for tau in spec.taus if tau in done])


@pytest.fixture
def store(executed):
    return executed[0]


@pytest.fixture
def runs(executed):
    return executed[1]


def curves(store, metric):
    """{run id: {tau: value}}"""
    found = defaultdict(dict)
    for row in read_table(store, "metrics").to_pylist():
        if row["metric"] == metric:
            found[row["run_id"]][row["tau"]] = row["value"]
    return found


def onsets(store):
    """{run id: first tau with f_mem above 0.1, or None}"""
    return {
        run_id: min((tau for tau, value in curve.items() if value > 0.1), default=None)
        for run_id, curve in curves(store, "f_mem").items()
    }


def when_memorisation_sets_in(store, runs):
    by_n, onset_of = defaultdict(list), onsets(store)
    for run_id, spec, _ in runs:
        if run_id in onset_of:
            by_n[spec.data.n].append(onset_of[run_id])
    return [
        {"n": n, "runs": len(taus), "memorised": len(seen), "tau": median(seen)}
        for n, taus in sorted(by_n.items())
        if (seen := [tau for tau in taus if tau is not None])
    ]


def f_mem_at_another_threshold(store, runs):
    n_of = {run_id: spec.data.n for run_id, spec, _ in runs}
    near = defaultdict(list)
    for row in read_table(store, "neighbours").to_pylist():
        near[n_of[row["run_id"]], row["tau"]].append(row["d1"] / row["d2"] < 0.5)
    return [{"n": n, "tau": tau, "f_mem": mean(map(int, near[n, tau]))} for n, tau in sorted(near)]


def the_image_that_is_copied_most_often(store, runs):
    copies = defaultdict(lambda: defaultdict(int))
    for row in read_table(store, "neighbours").to_pylist():
        if row["d1"] / row["d2"] < 1 / 3:
            copies[row["run_id"]][row["nn1"]] += 1
    best = {run_id: min(count, key=lambda image: (-count[image], image)) for run_id, count in copies.items()}
    return [{"run_id": r, "image": best[r], "copies": copies[r][best[r]]} for r in sorted(best)]


def best_quality_before_memorisation(store, runs):
    rows, onset_of, curve_of = [], onsets(store), curves(store, "frechet_pca")
    for run_id, spec, _ in runs:
        onset = onset_of.get(run_id)
        frechet = {tau: v for tau, v in curve_of[run_id].items() if onset is None or tau < onset}
        if frechet:
            tau = min(frechet, key=frechet.get)
            rows.append({"run_id": run_id, "n": spec.data.n, "frechet": frechet[tau], "tau": tau})
    return sorted(rows, key=lambda row: (row["n"], row["run_id"]))


def curves_averaged_over_seeds(store, runs):
    values, curve_of = defaultdict(list), curves(store, "f_mem")
    for run_id, spec, _ in runs:
        for tau, value in curve_of[run_id].items():
            values[spec.data.n, spec.model.W, tau].append(value)
    return [
        {
            "n": n,
            "W": W,
            "tau": tau,
            "mean": mean(seeds),
            "spread": stdev(seeds) if len(seeds) > 1 else None,
            "seeds": len(seeds),
        }
        for (n, W, tau), seeds in sorted(values.items())
    ]


def failed_attempts_by_host(store, runs):
    return [
        {"host": "node-a", "failure": "error", "attempts": 1, "example": "ValueError: why"},
        {"host": "node-b", "failure": "lost_worker", "attempts": 1, "example": None},
        {"host": "node-b", "failure": "out_of_memory", "attempts": 1, "example": "CUDA out of memory"},
    ]


def hours_by_w(store, runs):
    seconds = defaultdict(float)
    for _, spec, executions in runs:
        for done in executions:
            seconds[spec.model.W, "CPU" if done["device"] == "cpu" else "GPU"] += done["seconds"]
    return [{"W": W, "kind": kind, "hours": s / 3600} for (W, kind), s in sorted(seconds.items())]


def steps_per_second_by_w(store, runs):
    sums = defaultdict(lambda: [0, 0])
    for _, spec, executions in runs:
        for done in executions:
            if done["tau"] is not None:
                sums[spec.model.W, done["device"]][0] += done["tau"] - done["resumed_from_tau"]
                sums[spec.model.W, done["device"]][1] += done["seconds"]
    return [
        {"W": W, "device": device, "steps_per_second": steps / seconds}
        for (W, device), (steps, seconds) in sorted(sums.items(), key=lambda item: item[0])
    ]


def time_lost_to_preemption(store, runs):
    # Of two preempted attempts one was followed, 1000 s after it began: from tau 11, and it had come to 19.
    return [{"host": "node-b", "preemptions": 2, "hours_waited": (1000 - 30) / 3600, "steps_again": 19 - 11}]


def runs_that_took_several_attempts(store, runs):
    rows = [
        {
            "run_id": run_id,
            "attempts": 2,
            "seconds": first["seconds"] + last["seconds"],
            "state": last["state"],
        }
        for run_id, _, executions in runs
        if len(executions) == 2
        for first, last in [executions]
    ]
    return sorted(rows, key=lambda row: row["run_id"])


def where_sweeps_stand(store, runs):
    states = {"failed": 1, "preempted": 1, "succeeded": 6}
    return [{"sweep": "quickstart", "state": state, "runs": count} for state, count in states.items()]


def one_metric_as_a_long_table(store, runs):
    of_run = {run_id: {"n": spec.data.n, "W": spec.model.W, "seed": spec.seed} for run_id, spec, _ in runs}
    rows = [
        of_run[row["run_id"]] | {name: row[name] for name in ("tau", "t", "value")}
        for row in read_table(store, "metrics").to_pylist()
        if row["metric"] == "test_loss"
    ]
    return sorted(rows, key=lambda row: list(row.values()))


def in_plain_python(title):
    return globals()[re.sub(r"\W+", "_", title.lower())]


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_of_the_page_gives_what_plain_python_gives(store, runs, title):
    expected = in_plain_python(title)(store, runs)
    answer = query(store, QUERIES[title]).to_pylist()
    assert answer == [pytest.approx(row) for row in expected]
    assert answer


def test_some_run_of_the_store_does_not_memorise(executed):
    found = [(row["runs"], row["memorised"]) for row in when_memorisation_sets_in(*executed)]
    assert found == [(4, 4), (4, 2)]


def test_every_section_has_a_query_or_is_that_of_other_tools():
    assert set(SECTIONS) - set(QUERIES) == {LAST}


@pytest.fixture(scope="module")
def exported(executed):
    """The folder in which the export of the page was made."""
    store, _ = executed
    folder = store.root.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = run_command(*shlex.split(EXPORT)[1:], store=store.root)
    assert (done.code, done.err) == (0, "")
    return folder


PAIRS = {
    "pandas": lambda answer: list(answer.items()),
    "polars": lambda answer: answer.rows(),
    "duckdb": lambda answer: answer.fetchall(),
}


@pytest.mark.parametrize(("tool", "block"), list(zip(PAIRS, TOOLS, strict=True)), ids=PAIRS)
def test_another_tool_finds_the_same_in_the_exported_file(store, runs, exported, monkeypatch, tool, block):
    answer = run_block(block, exported, monkeypatch)
    expected = [(row["n"], row["tau"]) for row in when_memorisation_sets_in(store, runs)]
    assert PAIRS[tool](answer) == expected


def test_the_call_that_reads_a_store_gives_the_rows_asked_for(store, exported, monkeypatch):
    answer = run_block(READING, exported, monkeypatch).to_pylist()
    expected = [v for curve in curves(store, "f_mem").values() for tau, v in curve.items() if tau >= 30]
    assert sorted(row["value"] for row in answer) == sorted(expected)
    assert set(answer[0]) == {"tau", "value"}


def run_block(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(block, names)
    return names["answer"]
