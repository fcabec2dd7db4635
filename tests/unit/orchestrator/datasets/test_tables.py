"""Parquet files and folders that `datasets` has saved, as sources of images; and how they can be wrong."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tausweep.orchestrator.datasets.sources import content_digest
from tausweep.orchestrator.datasets.tables import open_table, table_files
from tausweep.storage.errors import DataError, InputError, UnreadableImageError


def png(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 7, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(i) for i in range(200)]
LABELS = [i % 3 for i in range(200)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A data set as `datasets` saves it: alone in two shards, with splits, and as Parquet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the imports and open files of `datasets` itself
        import datasets

        datasets.disable_progress_bars()
        features = datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
        )
        rows = {"image": [{"bytes": image, "path": None} for image in IMAGES], "label": LABELS}
        data = datasets.Dataset.from_dict(rows, features=features)
        folder = tmp_path_factory.mktemp("saved")
        data.save_to_disk(str(folder / "alone"), num_shards=2)
        datasets.DatasetDict({"train": data, "test": data.select(range(5))}).save_to_disk(
            str(folder / "splits")
        )
        data.to_parquet(str(folder / "one.parquet"))
        (folder / "hub" / "data").mkdir(parents=True)
        for name, part in (
            ("train-00000-of-00002", range(150)), ("train-00001-of-00002", range(150, 200)), ("test-00000-of-00001", range(5)),
        ):  # fmt: skip
            data.select(part).to_parquet(str(folder / "hub" / "data" / f"{name}.parquet"))
    return folder


def opened(place, split=None, image=None, label=None):
    return open_table(place, table_files(place, split), image, label)


@pytest.mark.parametrize(
    ("name", "split", "form"),
    [
        ("alone", None, "arrow"), ("splits", "train", "arrow"), ("splits/train", None, "arrow"),
        ("one.parquet", None, "parquet"), ("hub", "train", "parquet"),
    ],
)  # fmt: skip
def test_every_form_gives_the_images_and_classes_in_order(saved, name, split, form):
    source = opened(saved / name, split)
    items = list(source)
    assert [item.read() for item in items] == IMAGES
    assert [item.label for item in items] == LABELS
    assert (len(source), source.form, source.class_names) == (200, form, ["a", "b", "c"])


def test_a_folder_of_images_is_no_table(tmp_path):
    assert table_files(tmp_path, None) == []
    (tmp_path / "1.png").touch()
    assert table_files(tmp_path, None) == table_files(tmp_path / "1.png", None) == []


@pytest.mark.parametrize("name", ["splits", "hub"])
def test_a_split_must_be_chosen_where_there_are_several(saved, name):
    with pytest.raises(InputError, match=rf"{name} has several splits; give --split; allowed: test, train"):
        opened(saved / name)
    with pytest.raises(InputError, match=r"--split tran: no such split .* did you mean 'train'"):
        opened(saved / name, "tran")


def test_unknown_columns_are_told_with_those_there_are(saved):
    with pytest.raises(InputError, match=r"--image-column img: no such column in .*alone; .*image, label"):
        opened(saved / "alone", image="img")
    with pytest.raises(InputError, match=r"--label-column lable: .* did you mean 'label'"):
        opened(saved / "alone", label="lable")


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_plain_bytes_and_words_as_classes_are_taken_from_any_column(tmp_path):
    path = write(tmp_path / "a.parquet", n=[1, 2], picture=IMAGES[:2], kind=["cat", "dog"])
    source = opened(path, image="picture", label="kind")
    assert [(i.read(), i.label) for i in source] == [(IMAGES[0], "cat"), (IMAGES[1], "dog")]
    assert [item.label for item in opened(path, image="picture")] == [None, None]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": ["x.png"]}, "column 'image' holds string; images are bytes"),
        (
            {"image": IMAGES[:1], "label": [0.5]},
            "column 'label' holds double; classes are integers or words",
        ),
    ],
)
def test_a_column_of_another_kind_is_refused(tmp_path, columns, words):
    with pytest.raises(DataError, match=words):
        opened(write(tmp_path / "a.parquet", **columns))


@pytest.mark.parametrize("missing", [None, -1])
def test_an_image_without_a_class_is_named(tmp_path, missing):
    source = opened(write(tmp_path / "a.parquet", image=IMAGES[:2], label=[0, missing]))
    with pytest.raises(DataError, match=r"a\.parquet\[1\]: no class in column 'label'"):
        content_digest(source)


def test_a_row_that_holds_only_a_path_is_an_unreadable_image(tmp_path):
    rows = [{"bytes": IMAGES[0], "path": None}, {"bytes": None, "path": "x.png"}]
    source = opened(write(tmp_path / "a.parquet", image=rows))
    with pytest.raises(UnreadableImageError, match=r"a\.parquet\[1\]: holds no image"):
        content_digest(source)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_damaged_file_is_named(saved, tmp_path, form):
    if form == "parquet":
        path = tmp_path / "bad.parquet"
        path.write_bytes((saved / "one.parquet").read_bytes()[:-20])
        place = path
    else:
        place = tmp_path / "bad"
        place.mkdir()
        for file in (saved / "alone").iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        path = place / "data-00001-of-00002.arrow"
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=path.name):
        content_digest(opened(place))


def test_a_shard_that_is_missing_is_named(saved, tmp_path):
    for name in ("state.json", "data-00000-of-00002.arrow"):
        (tmp_path / name).write_bytes((saved / "alone" / name).read_bytes())
    with pytest.raises(DataError, match=r"data-00001-of-00002\.arrow: missing; the data set is incomplete"):
        opened(tmp_path)
