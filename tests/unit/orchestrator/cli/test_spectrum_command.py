"""`tausweep spectrum`: what it prints and draws, and one message for what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tausweep.orchestrator.cli.app import app
from tausweep.storage.errors import InputError

POINT = ("spectrum", "--psi-p", "4", "--psi-n", "2")


def run(*arguments):
    return CliRunner().invoke(app, [*POINT, *arguments])


def test_parts_and_timescales_are_a_document():
    found = json.loads(run("--json").stdout)
    assert (found["p"], found["n"], found["regime"]) == (1200, 600, "I")
    masses = {part["name"]: part["mass"] for part in found["parts"]}
    assert masses == pytest.approx({"delta": 0.25, "bulk 1": 0.5, "bulk 2": 0.25}, abs=1e-5)
    bulk_1, bulk_2 = found["parts"][1:]
    times = found["timescales"]
    assert times["tau_mem_with_sub_bulk"] / times["tau_gen"] == pytest.approx(bulk_2["mean"] / bulk_1["mean"])
    # One e-fold at the rate 2 Δ_t λ/ψ_p.
    assert times["tau_gen"] * 2 * -np.expm1(-2 * found["t"]) * bulk_2["mean"] / 4 == pytest.approx(1)


def test_a_drawn_spectrum_is_compared_part_by_part(tmp_path):
    result = run("--d", "60", "--out", str(tmp_path / "s.png"), "--json")
    found = json.loads(result.stdout)
    assert (tmp_path / "s.png").stat().st_size > 5000
    for drawn in found["drawn"].values():
        assert drawn["distance"] < 0.04
        for part, own in zip(found["parts"], drawn["parts"], strict=True):
            assert own["name"] == part["name"]
            near = 0.3 if part["name"] == "delta" else 0.1  # at d = 60 it is spread widely
            assert own["mean"] == pytest.approx(part["mean"], rel=near)


def test_the_table_says_when_there_is_no_second_timescale():
    text = CliRunner().invoke(app, ["spectrum", "--psi-p", "0.5", "--psi-n", "2"]).stdout
    assert "regime II" in text
    assert "no tau_mem" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--psi-p", "0"), "psi_p = 0.0: a number above 0"),
        (("--psi-p", "1.001"), "psi_p = 1.001: p = psi_p·d must be an integer number"),
        (("--psi-n", "-2"), "psi_n = -2.0"),
        (("--psi-n", "1.001"), "psi_n = 1.001: n = psi_n·d must be a whole number"),
        (("--t", "0"), "t = 0.0: a number above 0"),
        (("--t", "nan"), "t = nan"),
        (("--activation", "tan"), "did you mean 'tanh'"),
        (("--covariance", "idenity"), "did you mean 'identity'"),
        (("--low", "0"), "low = 0.0"),
        (("--d", "0"), "d = 0"),
        (("--exponent", "inf"), "exponent = inf"),
        (("--psi-p", "40", "--out", "s.png"), "p = psi_p·d = 12000 is too large to be drawn"),
    ],
)
def test_what_is_wrong_is_one_error(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
    assert list(tmp_path.iterdir()) == []
