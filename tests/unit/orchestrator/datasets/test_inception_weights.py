"""`tausweep data fid-weights`: Inception weights enter a store whole and known, or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest
import torch

from tausweep.orchestrator.datasets import inception_weights
from tausweep.orchestrator.datasets.inception_weights import stage_weights, staged_digest
from tausweep.storage.errors import CorruptFileError, DataError
from tausweep.storage.layout import StoreLayout
from tests.unit.jobs.quality.inception_weights import random_inception
from tests.unit.orchestrator.finished_store import ENVIRONMENT, python, run_command


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return random_inception(tmp_path_factory.mktemp("weights") / "random inception.pth")


@pytest.fixture(scope="module")
def digest(weights):
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def test_weights_of_a_given_digest_are_copied_and_used_from_then_on(store, weights, digest):
    assert staged_digest(store) is None
    done = run_command("data", "fid-weights", "--from", weights, "--digest", digest[:12], store=store.root)
    assert (done.code, done.err) == (0, "")
    assert digest in done.out
    assert staged_digest(store) == digest
    assert store.inception_weights(digest).read_bytes() == weights.read_bytes()
    assert all(store.explains(path) for path in store.walk())


def test_torch_fidelitys_own_file_needs_no_option(store, weights, digest, monkeypatch):
    monkeypatch.setattr(inception_weights, "KNOWN_DIGEST", digest[:8])
    assert stage_weights(weights, store, inception_weights.KNOWN_DIGEST) == digest


def test_the_known_digest_is_that_of_torch_fidelitys_address():
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert URL_INCEPTION_V3.endswith(f"-{inception_weights.KNOWN_DIGEST}.pth")


def refused(store, source, *options):
    done = run_command("data", "fid-weights", "--from", source, *options, store=store.root)
    assert done.code == 2
    assert done.out == ""
    assert not store.root.exists() or list(store.root.rglob("*")) == []
    return done.err


def test_another_digest_is_refused_and_nothing_is_left(store, weights, digest):
    assert f"its sha256 is {digest}, but 6726825d… is needed" in refused(store, weights)
    assert "00000000… is needed" in refused(store, weights, "--digest", "00000000")


def test_a_file_that_is_no_network_is_refused(store, tmp_path):
    source = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(3)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert "its tensors differ" in refused(store, source, "--digest", digest)


class Harmful:
    """Executed by a reader that unpickles whatever it is given."""

    def __reduce__(self):
        return (pytest.fail, ("the file was executed",))


def test_a_file_that_would_be_executed_is_not(store, tmp_path):
    source = tmp_path / "harmful.pth"
    torch.save(Harmful(), source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert "a file of tensors by name" in refused(store, source, "--digest", digest)


@pytest.mark.parametrize(
    ("digest", "problem"), [("6726", "8 to 64 hex digits"), ("zzzzzzzz", "8 to 64 hex digits")]
)
def test_a_digest_that_is_none_is_refused(store, weights, digest, problem):
    assert problem in refused(store, weights, "--digest", digest)


def test_a_missing_file_is_named(store, tmp_path):
    assert "no such file" in refused(store, tmp_path / "nowhere.pth")


def test_a_file_that_changes_while_it_is_copied_leaves_nothing(store, weights, digest, monkeypatch):
    monkeypatch.setattr(
        inception_weights.shutil, "copyfile", lambda source, target: target.write_bytes(b"other")
    )
    with pytest.raises(DataError, match="the file changed"):
        stage_weights(weights, store, digest)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_the_last_staged_weights_are_used_and_older_ones_stay(store, weights, digest, tmp_path):
    state = torch.load(weights, weights_only=True)
    state["fc.bias"] += 1
    torch.save(state, tmp_path / "newer.pth")
    newer = hashlib.sha256((tmp_path / "newer.pth").read_bytes()).hexdigest()
    stage_weights(weights, store, digest)
    stage_weights(tmp_path / "newer.pth", store, newer)
    assert staged_digest(store) == newer
    assert store.inception_weights(digest).exists()


def test_weights_that_got_lost_are_missed(store, weights, digest):
    stage_weights(weights, store, digest)
    store.inception_weights(digest).unlink()
    with pytest.raises(CorruptFileError, match="stage them again"):
        staged_digest(store)


def test_a_store_on_an_object_store_takes_them_too(s3_store: StoreLayout, weights, digest):
    assert stage_weights(weights, s3_store, digest) == digest
    assert staged_digest(s3_store) == digest


SWEEP = """
settings: {data: digits, test_images: 12, n: 4, W: 4, multipliers: [1, 1], lr: 1e-3, batch: 4, steps: 2, eval_first: 2,
           samples: 4, ddim_steps: 1, loss_pairs: 4, frechet_dims: 2, gallery: 0, extractor: inception, fid_references: 2}
grid: {seed: %s}
"""


@pytest.mark.slow
def test_workers_measure_fid_with_the_staged_weights_and_one_set_of_statistics(
    store, weights, digest, tmp_path
):
    sweep = tmp_path / "fid.yaml"
    stage_weights(weights, store, digest)
    told = []
    for seeds in ("[0]", "[0, 1]"):
        sweep.write_text(SWEEP % seeds)
        command = python("-m", "tausweep", "run", str(sweep), "--store", str(store.root))
        subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        told.append({path: path.stat().st_mtime_ns for path in store.features.glob("*.npz")})
    assert len(told[0]) == 2, "a file for each set of held-out images"
    assert told[1] == told[0], "the second run found them"
    ask = "SELECT metric, count(*) AS runs FROM metrics WHERE metric LIKE 'fid%' GROUP BY 1 ORDER BY 1"
    rows = json.loads(run_command("query", ask, "--json", store=store.root).out)
    assert rows == [{"metric": "fid", "runs": 2}, {"metric": "fid_sd", "runs": 2}]
    ask = "SELECT DISTINCT extractor_weights FROM runs"
    rows = json.loads(run_command("query", ask, "--json", store=store.root).out)
    assert rows == [{"extractor_weights": digest}]
