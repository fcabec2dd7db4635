"""Images before a sweep: their fingerprint follows the contents, and the store holds each set once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tausweep.jobs.data.digits import digits
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.folder import list_images, prepare_folder
from tausweep.orchestrator.datasets.staging import identify, stage
from tausweep.storage.errors import DataError, SchemaError
from tausweep.storage.files.records import read_record, write_record
from tests.conftest import SETTINGS
from tests.unit.orchestrator.finished_store import ENVIRONMENT, python

FOLDER = SETTINGS | {"data": "folder", "size": 8, "test_images": 20, "n": 4, "fingerprint": "unprepared"}


@pytest.fixture
def folder(tmp_path):
    """30 noisy images, PNG and JPEG, some in a subfolder, of several sizes."""
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "more").mkdir(parents=True)
    for i in range(30):
        name = f"{i}.jpg" if i % 3 == 0 else f"more/{i}.png"
        pixels = rng.integers(0, 256, (10 + i, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    return tmp_path / "images"


def spec(**overrides):
    return RunSpec.from_settings(FOLDER | overrides)


def image_set(folder, store, **overrides):
    _, (images,) = identify([spec(**overrides)], folder, store)
    return images


def fingerprint(folder, store, **overrides):
    return image_set(folder, store, **overrides).fingerprint


def files(store):
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_identifying_writes_nothing(folder, store):
    fingerprint(folder, store)
    assert not store.root.exists()


def test_the_fingerprint_stays_when_the_folder_is_moved_copied_or_renamed(folder, store, tmp_path):
    before = fingerprint(folder, store)
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)  # with new dates
    assert fingerprint(tmp_path / "copy", store) == before
    folder.rename(tmp_path / "renamed folder")
    assert fingerprint(tmp_path / "renamed folder", store) == before


def test_the_fingerprint_changes_with_a_pixel_that_keeps_size_and_date(folder, store):
    before, file = fingerprint(folder, store), folder / "0.jpg"
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(folder, store) != before


def test_the_fingerprint_changes_when_an_image_is_added_removed_or_renamed(folder, store):
    found = [fingerprint(folder, store)]
    (folder / "0.jpg").rename(folder / "100.jpg")  # the order of the images is what subsets are cut from
    found.append(fingerprint(folder, store))
    (folder / "100.jpg").unlink()
    found.append(fingerprint(folder, store))
    assert len(set(found)) == 3


def test_the_fingerprint_changes_with_size_and_color(folder, store):
    ways = [{}, {"size": 16}, {"color": "rgb"}, {"size": 16, "color": "rgb"}]
    assert len({fingerprint(folder, store, **way) for way in ways}) == 4


@pytest.mark.parametrize(
    "way", [{"n": 5}, {"seed": 3}, {"subset": 1}, {"test_images": 19}, {"pixel_scale": 2}]
)
def test_the_fingerprint_does_not_change_with_what_is_done_with_the_images(folder, store, way):
    assert fingerprint(folder, store, **way) == fingerprint(folder, store)


def test_files_that_are_no_images_or_hidden_do_not_count(folder, store):
    before = fingerprint(folder, store)
    (folder / "notes.txt").write_text("x")
    (folder / ".thumbnails").mkdir()
    Image.new("L", (9, 9)).save(folder / ".thumbnails" / "0.png")
    assert fingerprint(folder, store) == before


def test_each_run_gets_the_fingerprint_of_its_images_and_each_set_is_there_once(folder, store):
    specs = [
        spec(seed=0), spec(seed=1), spec(size=16), RunSpec.from_settings(SETTINGS | {"fingerprint": "unprepared"}),
    ]  # fmt: skip
    filled, sets = identify(specs, folder, store)
    assert len(sets) == 3
    assert [run.data.fingerprint for run in filled] == [sets[i].fingerprint for i in (0, 0, 1, 2)]
    assert [images.count for images in sets] == [30, 30, 1797]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"n": 11}, "n = 11, subset = 0.*of 30 images test_images = 20 are held out and 10 are left; the largest n is 10"),
        ({"n": 5, "subset": 2}, "n = 5, subset = 2: .* = 15 training images are needed.*largest n is 3"),
        ({"test_images": 30}, "0 are left; lower subset or test_images, or add images"),
    ],
)  # fmt: skip
def test_too_few_images_are_told_with_the_numbers(folder, store, overrides, words):
    with pytest.raises(DataError, match=words):
        fingerprint(folder, store, **overrides)


# --- the prepared array --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "color", "channels"), [(32, "grey", 1), (16, "rgb", 3)])
def test_the_staged_array_is_what_prepare_gives_and_can_be_memory_mapped(
    folder, store, tmp_path, size, color, channels
):
    images = image_set(folder, store, size=size, color=color)
    stage(images, store)
    staged = np.load(store.images(images.fingerprint), mmap_mode="r")
    prepare_folder(list_images(folder), size, color, tmp_path / "reference.npy")
    assert isinstance(staged, np.memmap)
    assert staged.shape == (30, channels, size, size)
    np.testing.assert_array_equal(staged, np.load(tmp_path / "reference.npy"))


def test_the_staged_digits_are_the_digits(store):
    _, (images,) = identify([RunSpec.from_settings(SETTINGS)], None, store)
    stage(images, store)
    np.testing.assert_array_equal(np.load(store.images(images.fingerprint)), digits())


def test_staging_twice_prepares_once(folder, store):
    images = image_set(folder, store)
    stage(images, store)
    array = store.images(images.fingerprint)
    before = array.stat()
    stage(images, store)
    assert (array.stat().st_ino, array.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(files(store)) == 2  # the array and its index


def test_progress_counts_the_images(folder, store):
    seen: list[tuple[int, int]] = []
    stage(image_set(folder, store), store, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 30) for i in range(1, 31)]


def test_a_folder_that_was_staged_is_recognised_without_reading_its_images(folder, store):
    images = image_set(folder, store)
    stage(images, store)
    index = store.images_index(images.key)
    write_record(index, {**read_record(index), "fingerprint": "from the index"})
    assert fingerprint(folder, store) == "from the index"


def test_an_index_that_is_damaged_is_named(folder, store):
    images = image_set(folder, store)
    write_record(store.images_index(images.key), {"count": 30})
    with pytest.raises(SchemaError, match=rf"{images.key}\.json: fingerprint missing"):
        fingerprint(folder, store)


def test_a_folder_that_has_changed_is_not_taken_for_what_it_was(folder, store):
    stage(image_set(folder, store), store)
    Image.new("RGB", (20, 20), "red").save(folder / "0.jpg")
    changed = image_set(folder, store)
    stage(changed, store)
    assert len(list(store.data.glob("*.npy"))) == 2
    assert np.load(store.images(changed.fingerprint))[0].std() < 1


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_corrupt_image_is_named_and_leaves_no_file_behind(folder, store, content):
    (folder / "more" / "4.png").write_bytes(content)
    with pytest.raises(DataError, match=r"more/4\.png: not a readable image"):
        stage(image_set(folder, store), store)
    assert files(store) == []


def test_an_image_that_was_cut_off_is_named_and_leaves_no_file_behind(folder, store):
    file = folder / "more" / "4.png"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"more/4\.png: not a readable image"):
        stage(image_set(folder, store), store)
    assert files(store) == []


def test_after_a_corrupt_image_is_mended_the_same_folder_can_be_staged(folder, store):
    whole = (folder / "0.jpg").read_bytes()
    (folder / "0.jpg").write_bytes(b"no image")
    with pytest.raises(DataError):
        stage(image_set(folder, store), store)
    (folder / "0.jpg").write_bytes(whole)
    images = image_set(folder, store)
    stage(images, store)
    assert store.images(images.fingerprint).exists()


_STAGE = """
import sys
from pathlib import Path
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.staging import identify, stage
from tausweep.storage.layout import StoreLayout
import json
settings, folder, store, ready, other = sys.argv[1:]
layout = StoreLayout(Path(store))
_, (images,) = identify([RunSpec.from_settings(json.loads(settings))], Path(folder), layout)
Path(ready).touch()
while not Path(other).exists():
    pass
stage(images, layout)
print(images.fingerprint)
"""


def test_two_processes_that_stage_at_once_leave_one_whole_array(folder, store, tmp_path):
    import json

    flags = [str(tmp_path / name) for name in ("first", "second")]
    workers = [
        subprocess.Popen(
            python("-c", _STAGE, json.dumps(FOLDER), str(folder), str(store.root), *order),
            stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )
        for order in (flags, flags[::-1])
    ]  # fmt: skip
    outputs = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0]
    (found,) = outputs
    assert sorted(Path(name).suffix for name in files(store)) == [".json", ".npy"]
    assert np.load(store.images(found)).shape == (30, 1, 8, 8)
