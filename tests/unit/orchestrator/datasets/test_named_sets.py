"""`tausweep data`: image sets prepared once under a name, checked, and used without their originals."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tausweep.jobs.data.long_tail import class_counts
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.orchestrator.datasets.pixels import prepare_image
from tausweep.orchestrator.datasets.sources import content_digest, open_files
from tausweep.orchestrator.datasets.staging import identify
from tausweep.storage.errors import DataError, SettingError
from tausweep.storage.maintenance.verification import check
from tests.celeba_like import make_folder, make_zip
from tests.conftest import SETTINGS
from tests.unit.orchestrator.finished_store import ENVIRONMENT, python, refused, run_command

COUNT = 60
SWEEP = """
settings: {data: celeba, size: 16, test_images: 20, n: 8, W: 4, lr: 1e-3, batch: 4, steps: 30, seed: 0,
           samples: 8, frechet_dims: 4, gallery: 2, eval_first: 30}
grid: {subset: [0, 1]}
"""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder with CelebA's layout."""
    return make_folder(tmp_path_factory.mktemp("originals") / "img_align_celeba", COUNT)


@pytest.fixture(scope="module")
def archive(originals, tmp_path_factory):
    return make_zip(tmp_path_factory.mktemp("archive") / "img_align_celeba.zip", originals)


def celeba(place, store, *options, count=COUNT):
    return run_command(
        "data", "celeba", "--from", place, "--expect-count", str(count), *options, store=store.root
    )


def prepared(place, store, *options):
    done = celeba(place, store, *options, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def files(store):
    return [path for path in store.root.rglob("*") if path.is_file()]


def spec(**overrides):
    settings = SETTINGS | {
        "data": "celeba",
        "size": 16,
        "test_images": 20,
        "n": 8,
        "fingerprint": "unprepared",
    }
    return RunSpec.from_settings(settings | overrides)


def image_set(store, **overrides):
    (run,), (images,) = identify([spec(**overrides)], None, store)
    return run, images


# --- preparing -----------------------------------------------------------------------------------------------------


def test_a_zip_file_and_its_folder_give_one_set_that_plain_numpy_maps(originals, archive, store):
    found = prepared(archive, store)
    array = np.load(found["array"], mmap_mode="r")
    names = [f"{i:06}.jpg" for i in range(1, COUNT + 1)]
    expected = [prepare_image((originals / name).read_bytes(), name, 32, "grey") for name in names]
    np.testing.assert_array_equal(array, expected)
    assert (found["count"], found["skipped"], found["form"]) == (COUNT, [], "zip")
    assert found["digest"] == content_digest(open_files(originals))
    assert prepared(originals, store) == found  # it was there
    assert len(files(store)) == 2


def test_sizes_and_colors_are_sets_of_their_own(archive, store):
    made = [
        prepared(archive, store, "--size", "16"),
        prepared(archive, store, "--size", "16", "--color", "rgb"),
    ]
    assert [np.load(one["array"]).shape for one in made] == [(COUNT, 1, 16, 16), (COUNT, 3, 16, 16)]
    listed = json.loads(run_command("data", "list", "--json", store=store.root).out)
    assert [(one["name"], one["size"], one["color"]) for one in listed] == [
        ("celeba", 16, "grey"),
        ("celeba", 16, "rgb"),
    ]
    assert one_line(run_command("data", "list", store=store.root).out, "rgb").split()[:4] == [
        "celeba",
        "16",
        "rgb",
        "60",
    ]


def one_line(text, word):
    return next(line for line in text.splitlines() if word in line)


def test_what_was_prepared_is_told_with_its_digest(archive, store):
    done = celeba(archive, store)
    assert "celeba 32×32 grey: 60 images, 0 left out" in done.out
    assert content_digest(open_files(archive)) in done.out


def test_a_whole_celeba_is_expected_unless_told_otherwise(archive, store):
    done = run_command("data", "celeba", "--from", archive, store=store.root)
    refused(done, "60 images, but 202,599 were expected", "--expect-count 60")
    assert not store.root.exists()


def test_another_digest_than_the_expected_one_is_refused(archive, store):
    digest = content_digest(open_files(archive))
    refused(
        celeba(archive, store, "--expect-digest", digest[::-1]),
        digest,
        digest[::-1],
        "these are other images",
    )
    assert not store.root.exists()
    assert celeba(archive, store, "--expect-digest", digest).code == 0


def damaged(archive, path, way):
    """A copy of the ZIP file in which one image is cut off, or one member does not unpack."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(
                info, content[:600] if way == "cut off" and info.filename.endswith("000007.jpg") else content
            )
        place = target.getinfo("img_align_celeba/000007.jpg").header_offset + 600
    if way == "torn":
        data = bytearray(path.read_bytes())
        data[place] ^= 255
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("way", ["cut off", "torn"])
def test_a_damaged_image_is_named_and_left_out_and_recorded_only_on_request(archive, store, tmp_path, way):
    bad = damaged(archive, tmp_path / "bad.zip", way)
    refused(celeba(bad, store), "000007.jpg", "--skip-corrupt")
    assert files(store) == []
    found = prepared(bad, store, "--skip-corrupt")
    assert found["count"] == len(np.load(found["array"])) == COUNT - 1
    (reason,) = found["skipped"]
    assert "000007.jpg" in reason
    assert "left out: " + reason in celeba(bad, store, "--skip-corrupt").out
    refused(celeba(bad, store), "000007.jpg", "--skip-corrupt")  # also now that the set is there


def test_a_name_that_means_other_images_is_kept_unless_replaced(originals, archive, store, tmp_path):
    first = prepared(archive, store)
    other = shutil.copytree(originals, tmp_path / "other")
    shutil.copy(other / "000001.jpg", other / "000002.jpg")
    refused(celeba(other, store), first["digest"], "--replace")
    second = prepared(other, store, "--replace")
    assert second["fingerprint"] != first["fingerprint"]
    assert image_set(store, size=32)[1].fingerprint == second["fingerprint"]
    assert np.load(first["array"]).shape == (COUNT, 1, 32, 32)  # runs keep the images they were trained on


def test_a_full_disk_is_told_and_leaves_nothing(archive, store):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        done = celeba(archive, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (done.code, "too large" in done.err, "Traceback" in done.err) == (1, True, False)
    assert files(store) == []


def test_two_that_prepare_at_once_leave_one_whole_set(archive, store):
    command = python("-m", "tausweep", "data", "celeba", "--from", str(archive), "--expect-count", str(COUNT))
    both = [
        subprocess.Popen([*command, "--store", str(store.root)], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(files(store)) == 2
    assert prepared(archive, store)["count"] == COUNT


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file or folder"), (b"PK no zip", "neither a folder nor a complete ZIP file")],
)
def test_what_is_no_source_is_refused(store, tmp_path, content, words):
    place = tmp_path / "img_align_celeba.zip"
    if content:
        place.write_bytes(content)
    refused(celeba(place, store), str(place), words)
    assert not store.root.exists()


# --- importing -----------------------------------------------------------------------------------------------------


def import_set(place, store, *options, name="flowers"):
    return run_command("data", "import", name, "--from", place, "--size", "16", *options, store=store.root)


@pytest.fixture
def table(tmp_path, originals):
    """A Parquet file of 60 images in three classes."""
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in sorted(originals.iterdir())]
    pq.write_table(
        pa.table({"image": rows, "label": ["abc"[i % 3] for i in range(COUNT)]}), tmp_path / "t.parquet"
    )
    return tmp_path / "t.parquet"


def test_an_imported_table_keeps_its_labels_beside_the_images(table, store):
    found = json.loads(import_set(table, store, "--json").out)
    labels = np.load(store.labels(found["fingerprint"]))
    assert (labels.tolist(), found["classes"]) == ([i % 3 for i in range(COUNT)], ["a", "b", "c"])
    assert np.load(found["array"]).shape == (COUNT, 1, 16, 16)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("flowers", ["--image-column", "img"], "--image-column img: no such column"),
        ("flowers", ["--class-folders"], "is a table; give --label-column"),
        ("celeba", [], "use `tausweep data celeba`"),
        ("a/b", [], "a/b: a name has at most 100 letters"),
    ],
)
def test_wrong_options_are_refused(table, store, name, options, words):
    refused(import_set(table, store, *options, name=name), words)
    assert not store.root.exists()


def test_options_of_tables_are_refused_for_folders(originals, store):
    refused(
        import_set(originals, store, "--label-column", "x"),
        "--label-column x: only with Parquet or Arrow files",
    )


# --- using ---------------------------------------------------------------------------------------------------------


def test_a_set_that_is_not_prepared_is_told_with_the_command(store):
    command = rf"tausweep data celeba --from PATH --size 16 --color grey --store '{store.root}'"
    with pytest.raises(
        DataError, match=f"data = celeba, size = 16, color = grey: not prepared in .*{command}"
    ):
        image_set(store)
    with pytest.raises(
        DataError, match=r"data = imported, set = cats, .*tausweep data import cats --from PATH"
    ):
        image_set(store, data="imported", set="cats")


def test_a_set_whose_array_is_gone_is_not_prepared(archive, store):
    store.images(prepared(archive, store, "--size", "16")["fingerprint"]).unlink()
    with pytest.raises(DataError, match="not prepared"):
        image_set(store)


def test_too_few_images_are_told(archive, store):
    prepared(archive, store, "--size", "16")
    with pytest.raises(DataError, match="the largest n is 40"):
        image_set(store, n=41)


def test_a_long_tail_of_imported_classes_is_checked_before_the_run(table, store):
    import_set(table, store)
    long = {"data": "imported", "set": "flowers", "n": 14, "imbalance": 4}
    run, images = image_set(store, **long)
    assert run.data.fingerprint == images.fingerprint
    assert class_counts(14, 3, 4).tolist() == [8, 4, 2]
    with pytest.raises(DataError, match=r"16 images of class 0 are needed for training, but there are 14"):
        image_set(store, **long | {"n": 28})


def test_a_long_tail_of_images_without_classes_is_refused(originals, store):
    import_set(originals, store)
    with pytest.raises(DataError, match="imbalance = 2: these images have no classes"):
        image_set(store, data="imported", set="flowers", imbalance=2)


def test_the_classes_of_an_imported_set_are_those_that_the_sweep_says(table, originals, store):
    import_set(table, store)
    ask = {"data": "imported", "set": "flowers", "conditional": True}
    with pytest.raises(SettingError, match=r"conditional = True: .* imported needs label_classes"):
        image_set(store, **ask)
    with pytest.raises(SettingError, match="label_classes = 4: set = flowers has 3: a, b, c"):
        image_set(store, **ask, label_classes=4)
    run, images = image_set(store, **ask, label_classes=3)
    assert run.classes == 3
    assert images.labels.tolist()[:4] == [0, 1, 2, 0]
    import_set(originals, store, name="plain")
    with pytest.raises(SettingError, match="label_classes = 3: set = plain has no labels"):
        image_set(store, **ask | {"set": "plain"}, label_classes=3)


@pytest.mark.slow
def test_a_conditional_sweep_of_an_imported_set_measures_its_classes(table, store, tmp_path):
    import_set(table, store)
    sweep = tmp_path / "flowers.yaml"
    sweep.write_text(
        SWEEP.replace("data: celeba", "data: imported, set: flowers, conditional: true, label_classes: 3")
    )
    command = python("-m", "tausweep", "run", str(sweep), "--store", str(store.root))
    subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    ask = "SELECT DISTINCT metric FROM metrics WHERE metric LIKE 'samples_class%' ORDER BY ALL"
    rows = json.loads(run_command("query", ask, "--json", store=store.root).out)
    assert [row["metric"] for row in rows] == ["samples_class0", "samples_class1", "samples_class2"]


@pytest.mark.slow
def test_a_sweep_trains_on_a_prepared_set_without_the_originals(archive, store, tmp_path):
    copy = shutil.copy(archive, tmp_path / "copy.zip")
    prepared(copy, store, "--size", "16")
    copy.unlink()
    sweep = tmp_path / "faces.yaml"
    sweep.write_text(SWEEP)
    command = python("-m", "tausweep", "run", str(sweep), "--store", str(store.root))
    subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    rows = json.loads(run_command("query", "SELECT data, state FROM runs", "--json", store=store.root).out)
    assert rows == [{"data": "celeba", "state": "succeeded"}] * 2
    assert list(check(store, lambda run_id, settings: None)) == []
