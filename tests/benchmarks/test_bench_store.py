"""The store's benchmark runs, at a size at which its numbers mean nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

SCRIPT = ("-m", "tests.benchmarks.bench_store")
INSTALLED = [
    name
    for name, module in [("delta", "deltalake"), ("mlflow", "mlflow")]
    if importlib.util.find_spec(module)
]
"""Of the extra `bench`; what is not installed is left out, as with --contenders."""


@pytest.mark.slow
def test_it_measures_every_contender_and_question_and_draws_them(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    sizes = {
        "seconds": 0.1,
        "rounds": 1,
        "writers": 2,
        "runs": 6,
        "small-runs": 4,
        "evaluations": 4,
        "parts": 2,
    }
    files = {"scratch": scratch, "json": tmp_path / "store.json", "plot": tmp_path / "store.png"}
    options = [f"--{name}={value}" for name, value in (sizes | files).items()]
    command = [sys.executable, *SCRIPT, *options, "--contenders", "tausweep", *INSTALLED]
    subprocess.run(command, check=True, capture_output=True)
    results = json.loads((tmp_path / "store.json").read_text())
    written = {(row["table"], row["contender"]) for row in results["writing"]}
    assert written == {
        (table, name) for table in ("metrics", "neighbours") for name in ("tausweep", *INSTALLED)
    }
    asked = {(row["runs"], row["question"]): row["rows"] for row in results["questions"]}
    assert asked.items() >= {(6, "by run"): 6, (6, "by tau"): 4, (6, "one run"): 20}.items()
    assert (tmp_path / "store.png").read_bytes().startswith(b"\x89PNG")
    assert list(scratch.iterdir()) == []
