"""The house: imports go down only, between layers and between wings, as docs/architecture.md draws them.

Torch stays below, file names stay in one module, and `--help` is light.
"""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("storage", "jobs", "workers", "orchestrator")
HEAVY = (
    "torch",
    "ray",
    "diffusers",
    "submitit",
    "sklearn",
    "duckdb",
    "pyarrow",
    "matplotlib",
    "pydantic",
    "plotly",
    "jinja2",
    "scipy",
)
MODULES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
}
DOTTED = {
    "tausweep." + path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
    for path in MODULES
}


def offenders(breaches, among=MODULES):
    """File → what in it breaks a rule, of all files that do; `breaches` lists that of one file."""
    listed = {file: list(breaches(file)) for file in among}
    return {file: wrong for file, wrong in listed.items() if wrong}


def layer_of(name):
    """The layer of a module's file or of a dotted name below `tausweep`, None for others' packages."""
    first, *rest = re.split(r"[./]", name)
    package = rest[0] if first == "tausweep" and rest else first
    return LAYERS.index(package) if package in LAYERS else None


def imports(tree):
    """Every dotted name that is imported anywhere below a node, also in functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in DOTTED else node.module


def imports_at_import_time(tree):
    """Those that happen when the module is loaded."""
    for node in tree.body if isinstance(tree, ast.Module) else ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not for_type_checkers(node):
            yield from imports_at_import_time(node)


def for_type_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def texts(tree):
    """String constants that are not docstrings or attribute documentation."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_the_walk_finds_every_layer():
    assert {layer_of(module) for module in MODULES} == {0, 1, 2, 3}


def test_imports_between_layers_go_down_only():
    def upward(module):
        return [name for name in imports(MODULES[module]) if (layer_of(name) or 0) > layer_of(module)]

    assert offenders(upward) == {}


OURS = {"jobs", "orchestrator", "storage", "workers", "deploy"}
EVERY = sorted([*MODULES, *(p.relative_to(ROOT).as_posix() for p in (ROOT / "tests").rglob("*.py"))])


def test_the_one_import_name_is_tausweep():
    """The root of the repository may be on sys.path, where `import jobs` would load a second copy of everything."""

    def by_folder(file):
        tree = MODULES.get(file) or ast.parse((ROOT / file).read_text())
        return [name for name in imports(tree) if name.split(".")[0] in OURS]

    assert offenders(by_folder, EVERY) == {}


# --- wings ---------------------------------------------------------------------------------------------------------

FLOORS = re.compile(r"^(?P<folder>[a-z/]+): +(?P<floors>[\w, >]+)$", re.MULTILINE)


def drawn_floors():
    """Folder → room → its floor, 0 at the bottom, as docs/architecture.md draws them; `a, b` share a floor."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    return {
        match["folder"]: {
            room.strip(): floor
            for floor, rooms in enumerate(reversed(match["floors"].split(">")))
            for room in rooms.split(",")
        }
        for match in FLOORS.finditer(page)
    }


WINGS = drawn_floors()
MOST_MODULES = 12


def test_every_file_that_the_page_names_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:storage|jobs|workers|orchestrator|tests|src)/[\w/.]+)`", page))
    assert len(named) > 50
    assert {path for path in named if not (ROOT / path).exists()} == set()


def room_in(folder, path):
    """The room of a folder that a module's file is in: a sub-folder, or the module itself; None outside of it."""
    if not path.startswith(f"{folder}/"):
        return None
    return path.removeprefix(f"{folder}/").split("/")[0].removesuffix(".py")


def wrong_imports(folder, floors, trees):
    """Imports from one room of a folder into another that is not below it."""
    for path, tree in trees.items():
        room = room_in(folder, path)
        if room in (None, "__init__"):
            continue
        for name in imports(tree):
            other = room_in(folder, DOTTED.get(name, ""))
            if other not in (None, room, "__init__") and floors[other] >= floors[room]:
                yield f"{path} imports {name}"


def test_the_page_draws_each_layer_and_the_wings_of_wings():
    assert set(WINGS) >= {"storage", "jobs", "workers", "orchestrator", "orchestrator/analysis"}


@pytest.mark.parametrize("folder", WINGS)
def test_the_page_draws_the_rooms_that_there_are(folder):
    rooms = {room_in(folder, path) for path in MODULES} - {None, "__init__", "__main__"}
    assert set(WINGS[folder]) - {"__main__"} == rooms


@pytest.mark.parametrize("folder", WINGS)
def test_imports_between_wings_go_down_only(folder):
    assert list(wrong_imports(folder, WINGS[folder], MODULES)) == []


def test_an_import_that_is_turned_round_is_noticed():
    path = "storage/files/atomic.py"
    upward = ast.parse("from tausweep.storage.tables.scan import read_table")
    wrong = list(wrong_imports("storage", WINGS["storage"], {path: upward}))
    assert wrong == [f"{path} imports tausweep.storage.tables.scan"]


def circles(trees):
    """Modules that import each other in a loop, also by imports in functions and for type checkers."""
    sorter = graphlib.TopologicalSorter(
        {
            path: {DOTTED[name] for name in imports(tree) if name in DOTTED}
            for path, tree in trees.items()
            if not path.endswith("__init__.py")
        }
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(MODULES) == []


def test_a_circle_is_noticed():
    one, other = "storage/layout.py", "storage/files/atomic.py"
    trees = {
        one: ast.parse("from tausweep.storage.files import atomic"),
        other: ast.parse("if TYPE_CHECKING:\n    from tausweep.storage.layout import StoreLayout"),
    }
    assert set(circles(trees)) == {one, other}


def test_no_folder_holds_more_modules_than_one_can_look_over():
    counts = Counter(str(Path(path).parent) for path in MODULES if not path.endswith("__init__.py"))
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


# --- heavy packages ------------------------------------------------------------------------------------------------


def test_only_jobs_and_workers_import_torch():
    def heavy(module):
        return {name.split(".")[0] for name in imports(MODULES[module])} & {"torch", "diffusers"}

    assert offenders(heavy, [name for name in MODULES if not name.startswith(("jobs/", "workers/"))]) == {}


def test_store_and_commands_load_nothing_that_only_workers_need():
    def early(module):
        loaded = {name.split(".")[0] for name in imports_at_import_time(MODULES[module])}
        return loaded & {"torch", "diffusers", "ray", "submitit", "sklearn"}

    assert (
        offenders(early, [name for name in MODULES if name.startswith(("storage/", "orchestrator/"))]) == {}
    )


# --- file names ----------------------------------------------------------------------------------------------------

JOINS_OF_OTHER_FOLDERS = {
    "storage/layout.py",  # the owner
    "storage/files/atomic.py",  # temporary names beside any target
    "jobs/models/diffusers_pipeline.py",  # a pipeline in a folder of the user's choice
    "jobs/data/digits.py",  # scikit-learn's own files
    "orchestrator/datasets/folder.py",  # a user's folder of images
    "orchestrator/datasets/sources.py",  # a user's folder of images
    "orchestrator/datasets/tables.py",  # what Hugging Face's `datasets` writes
    "orchestrator/figures/draw.py",  # figures in a folder of the user's choice
}


def joins(tree):
    """Paths made from words: `folder / "word"`, `folder / f"{x}.json"`, `folder.joinpath("word")` and their like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = (node.left, node.right)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            naming = ("joinpath", "with_name", "with_suffix", "with_stem", "glob", "rglob")
            parts = node.args if node.func.attr in naming else ()
        else:
            continue
        if any(isinstance(part, ast.Constant | ast.JoinedStr) and not is_number(part) for part in parts):
            yield ast.unparse(node)


def is_number(node):
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def test_paths_are_joined_in_the_layout_only():
    others = [module for module in MODULES if module not in JOINS_OF_OTHER_FOLDERS]
    assert offenders(lambda module: joins(MODULES[module]), others) == {}


def test_every_module_that_may_join_paths_still_does():
    assert {
        module for module in JOINS_OF_OTHER_FOLDERS if list(joins(MODULES[module]))
    } == JOINS_OF_OTHER_FOLDERS


SUFFIXES = tuple(
    sorted(
        {text for text in texts(MODULES["storage/layout.py"]) if re.fullmatch(r"(\.[a-z][a-z0-9]*)+", text)}
    )
)


def test_the_suffixes_of_the_stores_files_are_found():
    assert {".json", ".pt", ".log", ".npy"} <= set(SUFFIXES)


def test_no_other_module_spells_a_file_of_the_store():
    def spelt(module):
        return [text for text in texts(MODULES[module]) if text.endswith((*SUFFIXES, ".parquet"))]

    owners = {"storage/layout.py", "orchestrator/datasets/tables.py"}  # the latter: of `datasets`
    assert offenders(spelt, [module for module in MODULES if module not in owners]) == {}


# --- start-up ------------------------------------------------------------------------------------------------------


def loaded_by(*arguments):
    """The modules that a command has loaded when it ends."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['tausweep', *{arguments!r}]\n"
        "try: runpy.run_module('tausweep', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    assert set(HEAVY) & loaded_by("--help") == set()


@pytest.mark.parametrize("command", ["plan", "run", "status", "query"])
def test_the_help_of_a_command_loads_nothing_heavy_either(command):
    assert set(HEAVY) & loaded_by(command, "--help") <= {"pydantic"}  # which typer itself may load


def test_help_is_there_at_once():
    """Prints the time; a machine under load is no mistake of the code's, so no time fails the test."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "tausweep", "--help"], cwd=ROOT, capture_output=True, check=True
        )
        seconds.append(time.perf_counter() - start)
    print(f"tausweep --help: {min(seconds):.2f} s (best of {len(seconds)}; 0.4 s are allowed)")
