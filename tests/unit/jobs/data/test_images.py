"""From files to the arrays a run trains on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tausweep.jobs.data.digits import digits, digits_labels
from tausweep.jobs.data.images import split, to_unit, training_places, training_pool
from tausweep.jobs.spec import data as spec_data
from tausweep.orchestrator.datasets.fingerprints import fingerprint_digits, fingerprint_folder, listing_key
from tausweep.orchestrator.datasets.folder import list_images, prepare_folder
from tausweep.storage.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Three images in two formats, one in a subfolder."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("img10.png", "img2.jpg", "more/img1.PNG"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def prepare(tmp_path):
    """Prepare files and read the array back."""

    def run(*files, size=8, color="grey", **options):
        prepare_folder(files, size, color, tmp_path / "out.npy", **options)
        return np.load(tmp_path / "out.npy")

    return run


def save(path, pixels, **options):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
    return path


def names(folder):
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def data(n=4, **others):
    return spec_data.Folder(
        data="folder", fingerprint="0" * 20, **{"n": n, "test_images": 10, "size": 4} | others
    )


def numbered(count, channels=1):
    """Image i has the value i everywhere, plus 100 times the channel."""
    values = np.arange(count)[:, None] + 100 * np.arange(channels)
    return np.broadcast_to(values[:, :, None, None], (count, channels, 4, 4)).astype(np.uint8)


def test_digits_are_those_of_load_digits_scaled_to_bytes():
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)[:, None]
    np.testing.assert_array_equal(digits(), expected)
    assert (digits().dtype, digits().shape, digits().max()) == (np.uint8, (1797, 1, 8, 8), 255)


def test_the_labels_of_digits_are_those_of_load_digits():
    np.testing.assert_array_equal(digits_labels(), load_digits().target)
    assert digits_labels().dtype == np.int64


def test_reading_digits_imports_neither_sklearn_nor_torch():
    code = "import sys, tausweep.jobs.data.digits as i; i.digits(); sys.exit('sklearn' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fingerprint_of_digits_is_that_of_finished_runs():
    assert fingerprint_digits() == "8bf89eb473c9667a6eba"


def test_images_are_listed_in_natural_order(folder):
    assert names(folder) == ["img2.jpg", "img10.png", "more/img1.PNG"]


def test_numbers_compare_as_numbers_anywhere_in_a_name(tmp_path):
    wanted = ["2/a.png", "2/b1.png", "2/b01c.png", "10/a.png", "a1b9.png", "a1b10.png", "a.png", "b.png"]
    for name in reversed(wanted):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == wanted


def test_hidden_and_other_files_are_not_listed(folder):
    for name in (".img3.png", "notes.txt", "more/._img1.png", "png"):
        (folder / name).touch()
    assert len(list_images(folder)) == 3


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no image in it; looked for .jpeg, .jpg, .png"):
        list_images(tmp_path)


@pytest.mark.parametrize(("color", "channels"), [("grey", 1), ("rgb", 3)])
def test_a_prepared_folder_is_one_uint8_array(folder, prepare, color, channels):
    array = prepare(*list_images(folder), size=16, color=color)
    assert (array.dtype, array.shape) == (np.uint8, (3, channels, 16, 16))


def test_an_image_of_the_right_size_and_color_is_not_changed(tmp_path, prepare):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    array = prepare(save(tmp_path / "a.png", pixels), color="rgb")
    np.testing.assert_array_equal(array[0], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("wide", [True, False])
def test_the_central_square_is_kept(tmp_path, prepare, wide):
    pixels = np.zeros((8, 24))
    pixels[:, 8:16] = 200
    array = prepare(save(tmp_path / "a.png", pixels if wide else pixels.T))
    assert (array == 200).all()


def test_shrinking_averages_instead_of_skipping_pixels(tmp_path, prepare):
    stripes = np.tile([0, 255], (64, 32))
    array = prepare(save(tmp_path / "a.png", stripes))
    assert np.abs(array.astype(int) - 127).max() < 20


def test_the_exif_orientation_is_applied(tmp_path, prepare):
    pixels = np.zeros((8, 8))
    pixels[0] = 255  # bright row on top
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    array = prepare(save(tmp_path / "a.png", pixels, exif=exif))
    assert (array[0, 0, :, 7] == 255).all()
    assert (array[0, 0, :, :7] == 0).all()


def test_transparent_pixels_become_black(tmp_path, prepare):
    pixels = np.full((8, 8, 4), 255)
    pixels[:4, :, 3] = 0
    array = prepare(save(tmp_path / "a.png", pixels), color="rgb")
    assert (array[0, :, :4] == 0).all()
    assert (array[0, :, 4:] == 255).all()


def test_transparency_of_a_palette_is_seen(tmp_path, prepare):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 255, 255])
    image.save(tmp_path / "a.png", transparency=0)
    assert (prepare(tmp_path / "a.png") == 0).all()


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path, prepare):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep.png: more than 8 bits"):
        prepare(tmp_path / "deep.png")


@pytest.mark.parametrize("name", ["img10.png", "img2.jpg"])
@pytest.mark.parametrize("share", [0, 0.05, 0.7])
def test_a_truncated_image_is_named(folder, prepare, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"{name}: not a readable image"):
        prepare(*list_images(folder))


def test_progress_counts_every_image(folder, prepare):
    seen = []
    prepare(*list_images(folder), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def fingerprint(folder, size=8, color="grey"):
    return fingerprint_folder(folder, list_images(folder), size, color)


def key(folder, size=8, color="grey"):
    return listing_key(folder, list_images(folder), size, color)


def test_a_fingerprint_does_not_depend_on_where_the_folder_is(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    assert fingerprint(folder) == fingerprint(tmp_path / "elsewhere" / "copy")
    assert len(fingerprint(folder)) == 20


def test_a_fingerprint_depends_on_size_and_color(folder):
    assert len({fingerprint(folder), fingerprint(folder, size=9), fingerprint(folder, color="rgb")}) == 3


def test_a_fingerprint_depends_on_content_at_equal_size_and_date(folder):
    before, known = fingerprint(folder), key(folder)
    file = folder / "img10.png"
    stat = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(folder) != before
    assert key(folder) == known  # what a listing cannot see


def test_a_fingerprint_depends_on_names(folder):
    before = fingerprint(folder)
    (folder / "img10.png").rename(folder / "img11.png")
    assert fingerprint(folder) != before


def test_a_listing_key_changes_with_dates_size_and_color(folder):
    before = key(folder)
    os.utime(folder / "img10.png", ns=(0, 1))
    assert len({before, key(folder), key(folder, size=9), key(folder, color="rgb")}) == 4


def test_a_listing_key_tells_folders_of_equal_listings_apart(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)  # keeps the dates
    assert key(other) != key(folder)
    assert fingerprint(other) == fingerprint(folder)


def test_a_listing_key_is_never_a_fingerprint(folder):
    assert key(folder) != fingerprint(folder)


@pytest.mark.parametrize("subset", [0, 1, 4])
def test_subset_i_trains_on_images_i_n_to_i_plus_1_n(subset):
    parts = split(numbered(30), data(n=4, subset=subset))
    values = np.rint(255 * to_unit(parts.train, parts.mean, 1.0)[:, 0, 0, 0])
    assert values.tolist() == list(range(4 * subset, 4 * subset + 4))


def test_the_last_images_are_held_out():
    parts = split(numbered(30), data())
    values = np.rint(255 * to_unit(parts.test, parts.mean, 1.0)[:, 0, 0, 0])
    assert values.tolist() == list(range(20, 30))


def test_images_are_centred_on_the_training_subset_by_channel():
    images = numbered(30, channels=3)
    parts = split(images, data(color="rgb", subset=1))
    expected = (images[4:8] / 255).mean((0, 2, 3))
    np.testing.assert_allclose(parts.mean, expected, rtol=1e-14)
    np.testing.assert_allclose(parts.train, images[4:8] / 255 - expected[:, None, None], atol=1e-7)
    np.testing.assert_allclose(parts.test, images[20:] / 255 - expected[:, None, None], atol=1e-7)
    assert parts.train.dtype == parts.test.dtype == np.float32


def test_the_pixel_scale_multiplies_after_centring():
    once, twice = (split(numbered(30), data(pixel_scale=scale)) for scale in (1, 2))
    np.testing.assert_array_equal(twice.train, 2 * once.train)
    np.testing.assert_array_equal(twice.mean, once.mean)


def test_to_unit_undoes_the_split():
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 4, 4), np.uint8)
    parts = split(images, data(color="rgb", pixel_scale=2))
    back = to_unit(parts.train, parts.mean, 2)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(np.rint(255 * back), images[:4])


def test_to_unit_does_not_clip():
    assert to_unit(np.full((1, 1, 2, 2), 3, np.float32), np.zeros(1), 2.0).max() == 1.5


def test_a_memory_map_is_split_like_an_array(tmp_path):
    np.save(tmp_path / "images.npy", numbered(30))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(split(mapped, data()).train, split(numbered(30), data()).train)


def test_n_may_use_all_that_is_not_held_out():
    assert training_places(30, data(n=20)) == slice(0, 20)
    assert training_places(30, data(n=5, subset=3)) == slice(15, 20)


def test_too_large_an_n_is_told_the_numbers():
    with pytest.raises(
        DataError, match=r"= 22 .*of 30 .*= 10 are held out and 20 are left; the largest n is 10"
    ):
        split(numbered(30), data(n=11, subset=1))


@pytest.mark.parametrize("count", [3, 10, 11])
def test_when_no_n_fits_other_settings_are_named(count):
    with pytest.raises(DataError, match="lower subset or test_images, or add images"):
        training_places(count, data(n=2))


def test_labels_are_split_as_the_images_are():
    labels = np.arange(30) * 7
    parts = split(numbered(30), data(n=4, subset=1), labels)
    assert parts.train_labels.tolist() == [28, 35, 42, 49]
    assert parts.test_labels.tolist() == labels[20:].tolist()
    assert split(numbered(30), data()).train_labels is None


def test_a_long_tailed_subset_is_what_its_labels_choose_and_holds_out_the_same():
    labels = np.arange(30) % 3
    tail = spec_data.Imported(
        data="imported", set="x", fingerprint="0" * 20, n=7, test_images=10, size=4, imbalance=4, head_class=1
    )
    parts = split(numbered(30), tail, labels)
    # classes 1, 2, 0 have 4, 2 and 1 images: the first ones of each
    assert np.rint(255 * to_unit(parts.train, parts.mean, 1.0)[:, 0, 0, 0]).tolist() == [0, 1, 2, 4, 5, 7, 10]
    assert parts.train_labels.tolist() == [0, 1, 2, 1, 2, 1, 1]
    assert parts.test_labels.tolist() == labels[20:].tolist()


def test_the_pool_is_all_that_is_not_held_out():
    parts = split(numbered(30), data())
    pool = training_pool(numbered(30), data(), parts.mean)
    assert np.rint(255 * to_unit(pool, parts.mean, 1.0)[:, 0, 0, 0]).tolist() == list(range(20))


def test_a_limited_pool_is_spread_over_all_images():
    pool = training_pool(numbered(30), data(), np.zeros(1), limit=5)
    assert np.rint(255 * pool[:, 0, 0, 0]).tolist() == [0, 4, 8, 12, 16]
