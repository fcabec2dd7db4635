"""A criterion is one class and one line: what is registered can be named on the command line and is in the result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import pytest

from tausweep.orchestrator.analysis.criteria import names
from tausweep.orchestrator.analysis.criteria.criterion import NUMBER
from tausweep.orchestrator.analysis.criteria.first_crossing import first_crossing
from tausweep.orchestrator.analysis.criteria.memorisation import OfSamples
from tests.unit.orchestrator.finished_store import finish, prepared, run_command, write_sweep


@dataclass(frozen=True, kw_only=True)
class LossRise:
    """tau_mem: the test loss at a diffusion time rises to a level."""

    level: float
    t: float
    quantity: str = "tau_mem"
    measure: str = "test_loss"
    rises: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("test_loss=0.35@t150",)
    pattern: ClassVar[re.Pattern[str]] = re.compile(rf"test_loss=(?P<level>{NUMBER})@t(?P<t>{NUMBER})")

    @property
    def name(self) -> str:
        return f"test_loss={self.level:g}@t{self.t:g}"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        return cls(level=float(given["level"]), t=float(given["t"]))

    def cross(self, tau, loss):
        return first_crossing(tau, loss, self.level)


@dataclass(frozen=True, kw_only=True)
class FirstCopy(OfSamples):
    """tau_mem: any sample at all is a copy."""

    forms: ClassVar[tuple[str, ...]] = ("f_mem>0",)
    pattern: ClassVar[re.Pattern[str]] = re.compile("f_mem>0")
    name: ClassVar[str] = "f_mem>0"

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        return cls()

    def cross(self, tau, f_mem):
        return first_crossing(tau, (f_mem > 0).astype(float), 1.0)


@pytest.fixture
def finished(store, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "CRITERIA", [*names.CRITERIA, LossRise, FirstCopy])  # the line of registration
    for run in prepared(write_sweep(tmp_path), store).runs:
        finish(store.run(run.run_id))
    return store.root


@pytest.mark.parametrize("name", ["test_loss=0.35@t150", "f_mem>0"])
def test_a_registered_criterion_is_resolved_by_its_name(finished, name):
    done = run_command("resolve", "tiny", "--criterion", name, "--json", store=finished)
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["criteria"] == [name]
    assert {fit["criterion"] for fit in result["fits"]} == {name}
    assert all(run["crossings"][name]["tau"] or run["crossings"][name]["bound"] for run in result["runs"])


def test_a_criterion_on_samples_has_an_interval_by_resampling_them(finished):
    done = run_command("resolve", "tiny", "--criterion", "f_mem>0", "--json", store=finished)
    crossings = [run["crossings"]["f_mem>0"] for run in json.loads(done.out)["runs"]]
    assert any(crossing["low"] or crossing["high"] for crossing in crossings)


def test_a_registered_criterion_is_offered_to_who_misspells_it(finished):
    done = run_command("resolve", "tiny", "--criterion", "test_los=0.35@t150", store=finished)
    assert "did you mean 'test_loss=0.35@t150'?" in done.err


def test_without_its_line_it_is_no_criterion(finished, monkeypatch):
    monkeypatch.undo()
    done = run_command("resolve", "tiny", "--criterion", "f_mem>0", store=finished)
    assert (done.code, "no such criterion" in done.err) == (2, True)
