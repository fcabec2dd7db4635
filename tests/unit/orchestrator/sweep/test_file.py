"""The sweep file: how it becomes runs, and that whatever is wrong in it is one clear error.

The table of malformed files goes through the real command: exit code 2, one message, and no store.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tausweep.jobs.spec.run_spec import setting_names
from tausweep.orchestrator.sweep.expansion import MAX_RUNS, expand
from tausweep.orchestrator.sweep.file import find_sweep, read_sweep, shipped_sweeps
from tausweep.storage.errors import InputError, SweepFileError
from tests.unit.orchestrator.finished_store import ENVIRONMENT, SWEEP, python, run_command, write_sweep

SHIPPED = sorted(shipped_sweeps())


def changed(*pairs):
    """The valid sweep with some words replaced."""
    text = SWEEP
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def read(tmp_path):
    """`read(text, *overrides)`: the sweep."""
    return lambda text, *overrides: read_sweep(write_sweep(tmp_path, text), overrides)


@pytest.fixture
def runs(read):
    """`runs(text, *overrides)`: flat settings of the runs, in their order."""
    return lambda text, *overrides: [spec.settings() for spec in expand(read(text, *overrides))]


def values(runs, *names):
    return [tuple(run.get(name) for name in names) for run in runs]


# --- from a file to runs -------------------------------------------------------------------------------------------


def test_the_grid_is_expanded_in_the_order_of_the_file_the_last_axis_fastest(runs):
    expected = [(n, o, s) for n in (4, 8) for o in ("adam", "sgd") for s in (0, 1)]
    assert values(runs(SWEEP), "n", "optimizer", "seed") == expected


def test_two_points_that_are_one_run_are_expanded_once(runs):
    assert (
        len(
            runs(
                changed(
                    ("n: [4, 8]", "n: [4, 8]\n  batch: ['min(512, n)', 'min(512,n)']"),
                    ("  batch: min(512, n)\n", ""),
                )
            )
        )
        == 8
    )


def test_a_sweep_without_a_grid_is_one_run(runs):
    text = "settings: {data: digits, n: 4, W: 4, lr: 0.01, batch: n, steps: 60, seed: 3}\n"
    assert values(runs(text), "n", "seed", "optimizer") == [(4, 3, "adam")]


def test_a_sweep_is_named_after_its_file_unless_it_has_a_name(read):
    assert read(changed(("name: tiny", "name: other"))).name == "other"
    assert read(changed(("name: tiny\n", ""))).name == "tiny"


def test_an_axis_may_be_over_any_setting(runs):
    axis = "n: [4]\n  multipliers: [[1, 1], [1, 2]]\n  clip_x0: [true, false]\n  clip: [null, 1]"
    found = values(runs(changed(("n: [4, 8]", axis))), "multipliers", "clip_x0", "clip")
    assert len(found) == 2 * 2 * 2 * 4
    assert found[0] == ([1, 1], True, None)
    assert found[-1] == ([1, 2], False, 1)


@pytest.mark.parametrize("value", ["4e-3", "4.0e-3", "0.004", "'0.004'"])
def test_a_number_is_one_number_in_any_spelling(runs, value):
    assert runs(changed(("4e-3", value))) == runs(SWEEP)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_are_found_by_name_and_expand(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = read_sweep(find_sweep(name))
    assert sweep.name == name
    assert len(expand(sweep)) >= 8
    assert sweep.folder is None  # a folder of ours is in nobody else's place


def test_a_folder_that_is_called_like_a_shipped_sweep_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert find_sweep("quickstart").suffix == ".yaml"


def test_a_file_that_is_called_like_a_shipped_sweep_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text(SWEEP)
    assert find_sweep("quickstart") == Path("quickstart")


def test_an_unknown_sweep_is_refused_with_the_nearest():
    with pytest.raises(SweepFileError, match=r"quikstart: no such file.*did you mean 'quickstart'"):
        find_sweep("quikstart")


# --- later wins ----------------------------------------------------------------------------------------------------


def test_a_condition_wins_over_settings(runs):
    text = changed(("  steps: 60", "  steps: 60\n  warmup: 1"), ("{lr: 0.02}", "{lr: 0.02, warmup: 9}"))
    assert set(values(runs(text), "optimizer", "warmup")) == {("adam", 1), ("sgd", 9)}


def test_the_last_condition_that_is_met_wins(runs):
    text = SWEEP + "  n=8: {lr: 0.5}\n  seed=1: {lr: 0.7}\n"
    assert values(runs(text, "optimizer=adam"), "n", "seed", "lr") == [
        (4, 0, 0.004), (4, 1, 0.7), (8, 0, 0.5), (8, 1, 0.7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("n=8", 4),
        ("n=4,8", 8),
        ("n=4, 8", 8),
        ("n = 8", 4),
        ("n=8 seed=1", 2),
        ("n=8  optimizer=sgd   seed=0,1", 2),
        ("batch=min(512, n)", 8),
        ("batch=min(512, n) n=4", 4),
        ("data=digits", 8),
        ("experiment=diffusion", 8),
        ("n=5", 0),
    ],
)
def test_a_condition_holds_where_all_its_filters_fit(runs, condition, count):
    found = runs(SWEEP + f'  "{condition}": {{warmup: 7}}\n')
    assert sum(run["warmup"] == 7 for run in found) == count


def test_the_batch_can_be_an_axis_whose_policies_have_budgets_of_their_own(runs):
    text = changed(("  batch: min(512, n)\n", ""), ("n: [4, 8]", "n: [4, 8]\n  batch: ['min(512, n)', 2]"))
    text += "  n=8 batch=2: {steps: 90}\n"
    assert set(values(runs(text), "batch", "n", "steps")) == {
        ("min(512, n)", 4, 60), ("min(512, n)", 8, 60), (2, 4, 60), (2, 8, 90),
    }  # fmt: skip


def test_a_condition_sees_what_an_earlier_one_has_set(runs):
    text = SWEEP + "  n=8: {warmup: 7}\n  warmup=7: {clip: 2}\n"
    assert set(values(runs(text.replace("steps: 60", "steps: 60\n  warmup: 0")), "n", "clip")) == {
        (4, None),
        (8, 2),
    }


def test_a_condition_sees_the_command_line(runs):
    text = changed(("optimizer: [adam, sgd]\n  ", ""), ("  steps: 60", "  steps: 60\n  optimizer: adam"))
    assert set(values(runs(text, "optimizer=sgd"), "optimizer", "lr")) == {("sgd", 0.02)}


@pytest.mark.parametrize(
    "text", [SWEEP, changed(("steps: 60", "steps: 60\n  lr: 1")), SWEEP + "  n=4: {lr: 0.3}\n"]
)
def test_the_command_line_wins_over_everything(runs, text):
    assert set(values(runs(text, "lr=0.125"), "lr")) == {(0.125,)}


def test_the_command_line_wins_over_a_condition_as_an_axis_too(runs):
    assert values(runs(SWEEP, "lr=0.25,0.5", "n=4", "seed=0", "optimizer=adam"), "lr") == [(0.25,), (0.5,)]


def test_an_axis_is_replaced_by_the_command_line(runs):
    assert values(runs(SWEEP, "n=6", "seed=3,4", "optimizer=adam"), "n", "seed") == [(6, 3), (6, 4)]


def test_the_same_override_twice_the_last_one_wins(runs):
    assert set(values(runs(SWEEP, "steps=70", "steps=80"), "steps")) == {(80,)}
    assert set(values(runs(SWEEP, "n=6,7", "n=9"), "n")) == {(9,)}


@pytest.mark.parametrize("name", ["other", "2024", "a.b_c-d"])
def test_the_name_can_be_overridden(read, name):
    assert read(SWEEP, f"name={name}").name == name


def test_resources_can_be_overridden_one_by_one(read):
    sweep = read(SWEEP + "resources: {threads: 3, workers: 2}\n", "resources.workers=5")
    assert (sweep.resources.workers, sweep.resources.threads) == (5, 3)


def test_a_folder_in_the_file_is_relative_to_the_file_and_on_the_command_line_to_where_one_stands(
    read, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = SWEEP + "folder: images\n"
    assert read(text).folder == tmp_path / "images"
    assert read(text, "folder=images").folder == tmp_path / "elsewhere" / "images"
    assert read(text, "folder=[1, x").folder == tmp_path / "elsewhere" / "[1, x"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("n", ["'n': key=value is needed"]),
        ("n=", ["n has an empty value"]),
        ("name=", ["name has an empty value"]),
        ("name=a/b", ["'name=a/b': letters, digits"]),
        ("name=a,b", ["'name=a,b': letters, digits"]),
        ("lrr=1", ["'lrr=1': no such setting; did you mean 'lr'? The nearest of "]),
        ("fingerprint=x", ["no such setting"]),
        ("lr=-1", ["command line: lr = -1: ", "greater than 0"]),
        ("n=4,many", ["command line: n = 'many': ", "integer", "(at n=many"]),
        ("optimizer=sdg", ["command line: optimizer = 'sdg': did you mean 'sgd'?"]),
        (
            "resources.thread=1",
            ["'resources.thread=1': thread = 1: no such resource; did you mean 'threads'?"],
        ),
        ("resources.threads=0", ["'resources.threads=0': threads = 0: ", "greater than or equal to 1"]),
        ("resources.threads=1,2", ["'resources.threads=1,2': threads = [1, 2]"]),
        ("folder=~nobody-of-this-name/x", ["folder = '~nobody-of-this-name/x': not a path"]),
        ("data=folder", ["data = folder: give the top-level key `folder: PATH`"]),
    ],
)
def test_a_wrong_override_is_told(runs, override, words):
    with pytest.raises(InputError) as caught:
        runs(SWEEP, override)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# --- malformed files -----------------------------------------------------------------------------------------------

MALFORMED = {
    # id: (text, line or None, words of the message)
    "missing batch": (changed(("  batch: min(512, n)\n", "")), 3, ["batch", "missing", "min(512, n)", "or n"]),
    "batch 0": (changed(("batch: min(512, n)", "batch: 0")), 5, ["batch = 0", "min(512, n)"]),
    "batch in words": (changed(("batch: min(512, n)", "batch: full")), 5, ["batch = 'full'", "n for full batch"]),
    "n too small": (changed(("n: [4, 8]", "n: [1, 8]")), 10, ["n = 1", "greater than or equal to 2"]),
    "n as text": (changed(("n: [4, 8]", "n: [four]")), 10, ["n = 'four'", "integer"]),
    "n a truth value": (changed(("n: [4, 8]", "n: [yes]")), 10, ["n = True", "a number is needed"]),
    "n a date": (changed(("n: [4, 8]", "n: [2026-11-24]")), 10, ["n = ", "integer"]),
    "n no date": (changed(("n: [4, 8]", "n: [2026-13-45]")), 10, ["2026-13-45", "month"]),
    "n a list": (changed(("n: [4, 8]", "n: [[4], 8]")), 10, ["n = [4]", "integer"]),
    "n half": (changed(("n: [4, 8]", "n: [4.5]")), 10, ["n = 4.5", "integer"]),
    "n null": (changed(("n: [4, 8]", "n: [null]")), 10, ["n = None", "missing (training-set size)"]),
    "unknown setting": (changed(("  steps: 60", "  step: 60")), 6, ["step: no such setting", "did you mean 'steps'?"]),
    "unknown axis": (changed(("seed: [0, 1]", "seeds: [0, 1]")), 13, ["seeds: no such setting", "'seed'?"]),
    "unknown key": (changed(("grid:", "gird:")), 9, ["gird: no such key", "did you mean 'grid'?", "resources"]),
    "unknown optimizer": (changed(("[adam, sgd]", "[adam, sdg]")), 12, ["optimizer = 'sdg'", "'sgd'?", "adam"]),
    "unknown experiment": (changed(("experiment: diffusion", "experiment: gan")), 2, ["experiment = 'gan'", "diffusion"]),
    "momentum for adam": (changed(("{lr: 4e-3}", "{lr: 4e-3, momentum: 0.9}")), 15, ["momentum = 0.9", "optimizer = sgd"]),
    "fingerprint": (changed(("  steps: 60", "  fingerprint: abc")), 6, ["fingerprint: no such setting"]),
    "W no multiple of 4": (changed(("W: [4]", "W: [6]")), 11, ["W = 6", "multiple of 4"]),
    "W beyond int64": (changed(("W: [4]", f"W: [{2**64}]")), 11, [f"W = {2**64}", "less than"]),
    "negative steps": (changed(("steps: 60", "steps: -60")), 6, ["steps = -60", "greater than 0"]),
    "lr zero": (changed(("0.02", "0")), 16, ["lr = 0", "greater than 0"]),
    "lr NaN": (changed(("4e-3", ".nan")), 15, ["lr = nan", "finite"]),
    "lr infinite": (changed(("0.02", ".inf")), 16, ["lr = inf", "finite"]),
    "lr in words": (changed(("0.02", "fast")), 16, ["lr = 'fast'", "number"]),
    "lr a mapping": (changed(("0.02", "{a: 1}")), 16, ["lr = {'a': 1}", "number"]),
    "negative seed": (changed(("seed: [0, 1]", "seed: [-1]")), 13, ["seed = -1", "greater than or equal to 0"]),
    "seed beyond int64": (changed(("seed: [0, 1]", f"seed: [{2**63}]")), 13, [f"seed = {2**63}", "less than"]),
    "loss_t beyond T": (changed(("steps: 60", "loss_t: [50, 1000]"), ("samples: 24", "samples: 24\n  steps: 60")), 6, ["loss_t = 1000", "0 to 999"]),
    "loss_t of fewer timesteps": (changed(("steps: 60", "timesteps: 100\n  steps: 60")), 3, ["loss_t = 150", "0 to 99"]),
    "ddim_steps beyond T": (changed(("steps: 60", "ddim_steps: 1001\n  steps: 60")), 6, ["ddim_steps = 1001", "timesteps = 1000"]),
    "eta above 1": (changed(("steps: 60", "eta: 1.5\n  steps: 60")), 6, ["eta = 1.5", "less than or equal to 1"]),
    "eta of a flow": (changed(("steps: 60", "eta: 1\n  objective: flow_matching\n  steps: 60")), 6, ["eta = 1", "only with objective = ddpm"]),
    "ancestral in few steps": (changed(("steps: 60", "ddim_steps: 50\n  sampler: ancestral\n  steps: 60")), 6, ["ddim_steps = 50", "leave ddim_steps out"]),
    "eval_first beyond steps": (changed(("steps: 60", "steps: 9\n  eval_first: 10")), 7, ["eval_first = 10", "steps = 9"]),
    "frechet_dims beyond samples": (changed(("frechet_dims: 4", "frechet_dims: 24")), 8, ["frechet_dims = 24", "samples (24)"]),
    "levels without attention": (changed(("steps: 60", "multipliers: [1, 1]\n  attention: [true]\n  steps: 60")), 6, ["multipliers = [1, 1]", "2 levels and attention 1"]),
    "too many levels": (changed(("steps: 60", "multipliers: [1, 1, 1, 1, 1]\n  steps: 60")), 6, ["multipliers = [1, 1, 1, 1, 1]", "8 pixels", "fewer levels"]),
    "no level": (changed(("steps: 60", "multipliers: []\n  steps: 60")), 6, ["multipliers = []", "at least one level"]),
    "size of digits": (changed(("steps: 60", "size: 16\n  steps: 60")), 6, ["size = 16", "only with data = folder"]),
    "folder without folder": (changed(("data: digits", "data: folder\n  size: 8")), 4, ["data = folder", "`folder: PATH`"]),
    "criteria no list": (SWEEP + "criteria: f_mem=0.1\n", 17, ["criteria = 'f_mem=0.1'", "a list of names"]),
    "criteria of numbers": (SWEEP + "criteria: [0.1]\n", 17, ["criteria = [0.1]", "a list of names"]),
    "unknown criterion": (SWEEP + "criteria: [f_men=0.1]\n", None, ["tiny.yaml: criteria: criterion 'f_men=0.1'", "f_mem="]),
    "a criterion twice": (SWEEP + "criteria: [f_mem=0.1, f_mem=0.10]\n", None, ["criterion f_mem=0.1: is given twice"]),
    "folder a number": (SWEEP + "folder: 7\n", 17, ["folder = 7", "path of a folder"]),
    "folder with a null byte": (SWEEP + 'folder: "a\\0b"\n', 17, ["folder = 'a\\x00b'", "not a path"]),
    "folder of nobody": (SWEEP + "folder: ~nobody-of-this-name/x\n", 17, ["folder = '~nobody", "not a path"]),
    "folder that is missing": (changed(("data: digits", "data: folder\n  test_images: 8")) + "folder: nowhere\n", None, ["nowhere: no such folder"]),
    "folder that is empty": (changed(("data: digits", "data: folder\n  test_images: 8")) + "folder: empty\n", None, ["empty: no image in it", ".png"]),
    "folder of too few": (changed(("data: digits", "data: folder\n  test_images: 8")) + "folder: few\n", None, ["n = 4", "of 2 images", "test_images = 8"]),
    "more images than digits": (changed(("n: [4, 8]", "n: [4, 1286]")), None, ["n = 1286", "1797 images", "the largest n is 1285"]),
    "duplicate setting": (changed(("  steps: 60", "  steps: 60\n  steps: 61")), 7, ["steps is given twice (first in line 6)"]),
    "duplicate section": (SWEEP + "grid: {n: [4]}\n", 17, ["grid is given twice (first in line 9)"]),
    "axis also in settings": (changed(("  steps: 60", "  steps: 60\n  n: 4")), 11, ["n is an axis and also in settings"]),
    "tab": (changed(("  steps: 60", "\tsteps: 60")), 6, ["'\\t'"]),
    "empty file": ("", None, ["n = None: missing"]),
    "comment only": ("# nothing\n", None, ["missing"]),
    "list on top": ("- n: 4\n", None, ["a mapping (key: value) is needed, not list"]),
    "words on top": ("n 4\n", None, ["a mapping (key: value) is needed, not str"]),
    "two documents": (SWEEP + "---\n" + SWEEP, 17, ["another document"]),
    "settings a list": ("settings: [n, 4]\n", 1, ["settings = ['n', 4]", "a mapping"]),
    "empty axis": (changed(("n: [4, 8]", "n: []")), 10, ["n = []", "a list of values"]),
    "scalar axis": (changed(("n: [4, 8]", "n: 4")), 10, ["n = 4", "a list of values", "[8, 16]"]),
    "axis of a range": (changed(("n: [4, 8]", "n: 4..8")), 10, ["n = '4..8'", "a list of values"]),
    "axis over a list": (changed(("n: [4, 8]", "multipliers: [1, 2]")), 10, ["multipliers = [1, 2]", "a list of lists"]),
    "value twice": (changed(("n: [4, 8]", "n: [4, 4]")), 10, ["n = [4, 4]", "a value is given twice"]),
    "huge grid": (changed(("seed: [0, 1]", f"seed: {list(range(MAX_RUNS // 2))}")), 9, ["points; at most 100000"]),
    "when unknown key": (changed(("optimizer=sgd", "optimiser=sgd")), 16, ["optimiser", "did you mean 'optimizer'?"]),
    "when without =": (changed(("optimizer=sgd", "sgd")), 16, ["'sgd'", "key=value is needed"]),
    "when of nothing": (SWEEP + '  "": {clip: 1}\n', 17, ["key=value is needed"]),
    "when on what nobody sets": (SWEEP + "  momentum=0.9: {clip: 1}\n", 17, ["momentum is neither an axis nor in settings"]),
    "when sets an axis": (changed(("{lr: 0.02}", "{lr: 0.02, n: 4}")), 16, ["n is an axis; `when` can't set it"]),
    "when sets the unknown": (changed(("{lr: 0.02}", "{lrr: 0.02}")), 16, ["lrr: no such setting", "'lr'?"]),
    "when without settings": (changed(("{lr: 0.02}", "0.02")), 16, ["settings are needed", "{lr: 0.001}"]),
    "when a list": (SWEEP.partition("when:")[0] + "when: [lr]\n", 14, ["when = ['lr']", "a mapping"]),
    "when misses one optimizer": (changed(("  optimizer=sgd: {lr: 0.02}\n", "")), 3, ["lr", "missing", "optimizer=sgd"]),
    "the second condition wrong": (changed(("{lr: 0.02}", "{lr: -1}")), 16, ["lr = -1", "optimizer=sgd"]),
    "a condition spoils a setting": (changed(("steps: 60", "steps: 60\n  lr: 1"), ("{lr: 0.02}", "{lr: -1}")), 17, ["lr = -1"]),
    "unknown resource": (SWEEP + "resources: {thread: 1}\n", 17, ["thread = 1", "did you mean 'threads'?"]),
    "resource out of range": (SWEEP + "resources:\n  threads: 0\n", 18, ["threads = 0", "greater than or equal to 1"]),
    "resource a truth value": (SWEEP + "resources: {workers: yes}\n", 17, ["workers = True", "not a truth value"]),
    "unknown device": (SWEEP + "resources: {device: gpu}\n", 17, ["device = 'gpu'", "cuda"]),
    "name with slash": (changed(("name: tiny", "name: a/b")), 1, ["name = 'a/b'", "letters, digits"]),
    "name that climbs": (changed(("name: tiny", "name: ../x")), 1, ["name = '../x'"]),
    "name a number": (changed(("name: tiny", "name: 2024")), 1, ["name = 2024", "put quotes around a number"]),
    "alias to itself": ("settings: &a {n: *a}\n", 1, ["n = "]),
    "alias to nowhere": (changed(("W: [4]", "W: *w")), 11, ["undefined alias"]),
    "python object": (changed(("W: [4]", "W: !!python/name:os.system")), 11, ["could not determine a constructor"]),
    "control character": (changed(("W: [4]", "W: [\x01]")), 11, ["'\\x01'", "not allowed"]),
    "not UTF-8": (b"name: \xff\n", None, ["cannot be read as text"]),
}  # fmt: skip


def images(folder: Path, count: int) -> None:
    folder.mkdir()
    for i in range(count):
        Image.new("L", (9, 9), i).save(folder / f"{i}.png")


def assert_one_message(done, store: Path) -> None:
    """The contract for all that a user can get wrong."""
    code, out, err = (
        (done.returncode, done.stdout, done.stderr)
        if isinstance(done, subprocess.CompletedProcess)
        else (done.code, done.out, done.err)
    )
    assert code == 2, out + err
    assert err.startswith("tausweep: ")
    assert err.count("tausweep: ") == 1
    assert "Traceback" not in out + err
    assert not store.exists()


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_message_with_its_line_and_nothing_is_written(case, tmp_path):
    text, line, words = MALFORMED[case]
    images(tmp_path / "few", 2)
    (tmp_path / "empty").mkdir()
    file = tmp_path / "tiny.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run_command("run", file, store=tmp_path / "store")
    assert_one_message(done, tmp_path / "store")
    if line is not None:
        assert f"tiny.yaml:{line}: " in done.err
    assert all(word in done.err for word in words), done.err


@pytest.mark.parametrize("file", ["nowhere.yaml", "nowhere", ".", ""])
@pytest.mark.parametrize("command", ["plan", "run", "submit"])
def test_a_sweep_file_that_is_not_there_is_one_message(command, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_one_message(run_command(command, file, store=tmp_path / "store"), tmp_path / "store")


@pytest.mark.parametrize("case", ["n as text", "tab", "not UTF-8"])
def test_the_installed_command_does_the_same(case, tmp_path):
    file = tmp_path / "tiny.yaml"
    text = MALFORMED[case][0]
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = subprocess.run(
        python("-m", "tausweep", "run", str(file), "--store", str(tmp_path / "store")),
        check=False, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert_one_message(done, tmp_path / "store")


def test_the_error_of_a_grid_point_says_which_point(runs):
    with pytest.raises(SweepFileError, match=r"\(at n=4, W=4, optimizer=sgd, seed=0\)$"):
        runs(changed(("0.02", "0")))


# --- anything at all -----------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 9),
    st.floats(),
    st.dates(),
    st.sampled_from(
        ["adam", "sgd", "folder", "digits", "n", "min(512, n)", "", "x" * 50, "[", "a: b", "\x00", "~"]
    ),
    st.text(max_size=5),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(setting_names()), inner, max_size=3)
    ),
    max_leaves=6,
)
sections = st.one_of(
    anything, st.dictionaries(st.sampled_from([*setting_names(), "x"]), anything, max_size=4)
)
documents = st.dictionaries(
    st.sampled_from(["name", "experiment", "settings", "grid", "folder", "resources", "other"]), sections, max_size=5
) | st.fixed_dictionaries({
    "settings": st.dictionaries(st.sampled_from(setting_names()), anything, max_size=3),
    "grid": st.dictionaries(st.sampled_from(setting_names()), st.lists(anything, min_size=1, max_size=3), max_size=3),
    "when": st.dictionaries(st.sampled_from(["n=4", "optimizer=sgd", "n=4 W=8", "W", ""]), sections, max_size=2),
})  # fmt: skip


def expands_or_is_refused(text: str | bytes, folder: Path) -> None:
    file = folder / "any.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    message = str(file)
    try:
        expand(read_sweep(file))
    except SweepFileError as error:
        message = str(error)
    assert message.startswith(str(file))


@given(document=documents)
@settings(deadline=None)
def test_any_document_expands_or_is_refused(document, tmp_path_factory):
    expands_or_is_refused(yaml.safe_dump(document), tmp_path_factory.getbasetemp())


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SWEEP)), st.integers(0, 6), st.text("n4W-:[]{},&*!'\"# \n\t\x00.e", max_size=4)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_a_valid_file_with_some_characters_changed_expands_or_is_refused(edits, tmp_path_factory):
    text = SWEEP
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    expands_or_is_refused(text, tmp_path_factory.getbasetemp())


@given(
    value=anything,
    name=st.sampled_from(setting_names()),
    section=st.sampled_from(["settings", "grid", "when"]),
)
@settings(deadline=None, max_examples=200)
def test_any_value_of_any_setting_expands_or_is_refused(value, name, section, tmp_path_factory):
    document = yaml.safe_load(SWEEP)
    place = document["when"]["optimizer=sgd"] if section == "when" else document[section]
    place[name] = [value] if section == "grid" else value
    expands_or_is_refused(yaml.safe_dump(document), tmp_path_factory.getbasetemp())


@given(text=st.text(alphabet="n=W.lrseod,[]4 -'\"!\x00", max_size=15))
@settings(deadline=None)
def test_any_override_is_taken_or_refused(text, tmp_path_factory):
    file = write_sweep(tmp_path_factory.getbasetemp())
    with suppress(InputError):
        expand(read_sweep(file, [text]))
