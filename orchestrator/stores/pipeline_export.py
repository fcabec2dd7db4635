"""`tausweep export-pipeline`: a checkpoint of a run as a diffusers pipeline in its own folder.

Checks everything possible before loading torch. Writes under a temporary name and renames, so the folder is
complete or absent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tausweep.orchestrator.stores.selection import find_run
from tausweep.storage.errors import CorruptFileError, InputError
from tausweep.storage.files.atomic import publish_folder
from tausweep.storage.layout import RunDirectory, StoreLayout


def export_pipeline(
    layout: StoreLayout, begin: str, tau: str, folder: Path, tell: Callable[[str], object] = lambda _: None
) -> tuple[str, int]:
    """Write the pipeline of a checkpoint.

    Args:
        layout: the store.
        begin: the run's id, or its first characters.
        tau: the checkpoint's step, or `latest`.
        folder: an absent or empty folder.
        tell: called with progress messages.

    Returns:
        The run's id and the step of the checkpoint.

    Raises:
        InputError: no such run or checkpoint, the folder is not empty, or diffusers has no pipeline for the
            run.
        DataError: the images of the run are not in the store.
        CorruptFileError: the checkpoint is damaged.
    """
    _require_free(folder)
    run = find_run(begin, layout)
    step = _step(run, tau)
    tell("loading torch and diffusers")
    from tausweep.jobs.data.load import load
    from tausweep.jobs.models.diffusers_pipeline import require_exportable, save_pipeline
    from tausweep.workers.checkpointing import read_checkpoint
    from tausweep.workers.inputs import open_images, open_spec

    spec = open_spec(run)
    require_exportable(spec)
    tell(f"reading checkpoint {step}")
    try:
        weights = read_checkpoint(run, step)["model"]
    except CorruptFileError as error:
        others = ", ".join(str(t) for t in run.checkpoint_taus() if t != step) or "none"
        raise CorruptFileError(f"run {run.run_id}: {error}; other checkpoints: {others}") from error
    split = load(spec.data, open_images(run, spec))
    tell("writing the pipeline")
    publish_folder(folder, lambda path: save_pipeline(spec, step, weights, split, path))
    return run.run_id, step


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; export into a new folder")


def _step(run: RunDirectory, tau: str) -> int:
    taus = run.checkpoint_taus()
    if not taus:
        raise InputError(f"run {run.run_id}: no checkpoint is kept; train or resume it first")
    if tau == "latest":
        return taus[-1]
    if not tau.isdecimal() or int(tau) not in taus:
        raise InputError(
            f"run {run.run_id}: TAU = {tau}: no checkpoint of this step; there are "
            f"{', '.join(map(str, taus))}, or latest (resources.keep_checkpoints keeps more)"
        )
    return int(tau)
