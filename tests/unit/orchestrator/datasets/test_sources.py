"""Folders and ZIP files of images: order, names, digests, and what is wrong with them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tausweep.orchestrator.datasets.sources import content_digest, open_files
from tausweep.storage.errors import DataError, UnreadableImageError
from tests.celeba_like import make_folder, make_zip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 images with CelebA's names."""
    return make_folder(tmp_path_factory.mktemp("faces") / "img_align_celeba", 12)


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory):
    return make_zip(tmp_path_factory.mktemp("zip") / "img_align_celeba.zip", folder)


def content(source):
    return [(item.name, item.label, item.read()) for item in source]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_folder_and_a_zip_file_of_it_give_the_same_images_in_natural_order(folder, archive):
    found = content(open_files(folder))
    assert [name for name, _, _ in found] == [f"{i:06}.jpg" for i in range(1, 13)]
    assert [data for _, _, data in found] == [(folder / name).read_bytes() for name, _, _ in found]
    assert content(open_files(archive)) == found
    assert len(open_files(archive)) == 12


def test_folder_and_zip_file_have_one_digest_which_changes_with_name_content_label_and_number(
    folder, archive, tmp_path
):
    digests = {content_digest(open_files(folder)), content_digest(open_files(archive))}
    assert len(digests) == 1
    made = touch(tmp_path / "a", "x/1.png", "y/2.png")
    digests |= {content_digest(open_files(made)), content_digest(open_files(made, class_folders=True))}
    (made / "y" / "2.png").write_bytes(b"other")
    digests.add(content_digest(open_files(made)))
    (made / "y" / "2.png").rename(made / "y" / "3.png")
    digests.add(content_digest(open_files(made)))
    touch(made, "y/4.png")
    digests.add(content_digest(open_files(made)))
    assert len(digests) == 6


def test_numbers_are_ordered_as_numbers_whatever_their_digits(tmp_path):
    names = [item.name for item in open_files(touch(tmp_path, "10.jpg", "9.JPEG", "b2/1.png", "b10/1.png"))]
    assert names == ["9.JPEG", "10.jpg", "b2/1.png", "b10/1.png"]


def test_hidden_files_and_what_macos_adds_to_zip_files_are_no_images(tmp_path):
    made = touch(tmp_path / "a", "1.jpg", ".2.jpg", ".t/3.jpg", "__MACOSX/1.jpg", "list.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in made.rglob("*"):
            file.write(path, path.relative_to(made))
    assert [item.name for item in open_files(made)] == ["1.jpg"]
    assert [item.name for item in open_files(tmp_path / "a.zip")] == ["1.jpg"]


def test_class_folders_are_the_labels_below_what_all_have_in_common(tmp_path):
    made = touch(tmp_path, "set/dog/1.png", "set/cat/7.png", "set/cat/more/8.png")
    assert [(i.name, i.label) for i in open_files(made, class_folders=True)] == [
        ("cat/7.png", "cat"), ("cat/more/8.png", "cat"), ("dog/1.png", "dog"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"stray\.png lies in no class folder"):
        open_files(touch(made, "set/stray.png"), class_folders=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p, "no such file or folder"),
        (lambda p: touch(p, "notes.txt"), "no image in it; looked for .jpeg, .jpg, .png"),
        (lambda p: touch(p, "x.zip") / "x.zip", "neither a folder nor a complete ZIP file"),
    ],
)
def test_what_is_no_source_is_told_by_its_path(tmp_path, make, words):
    place: Path = make(tmp_path / "given")
    with pytest.raises(DataError, match=f"{place.name}: {words}"):
        open_files(place)


def test_a_zip_file_that_was_cut_off_is_told(archive, tmp_path):
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut\.zip: neither a folder nor a complete ZIP file"):
        open_files(tmp_path / "cut.zip")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_member_that_does_not_unpack_is_named(tmp_path, method):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a/1.jpg", b"first" * 40)
        file.writestr("a/2.jpg", bytes(range(256)) * 4)
        start = file.getinfo("a/2.jpg").header_offset + 30 + len("a/2.jpg")
    data = bytearray(path.read_bytes())
    data[start + 12 : start + 30] = bytes(255 - byte for byte in data[start + 12 : start + 30])
    path.write_bytes(data)
    source = open_files(path)
    with pytest.raises(UnreadableImageError, match=r"bad\.zip: a/2\.jpg: cannot be unpacked"):
        content_digest(source)
    assert content_digest(source, skip_unreadable=True)


def test_a_member_with_a_password_is_named(tmp_path):
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("1.jpg", b"x" * 20)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1  # the flag that says so
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=r"1\.jpg: cannot be unpacked \(.*password"):
        content_digest(open_files(path))


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    made = touch(tmp_path, "1.jpg")
    source = open_files(made)
    (made / "1.jpg").unlink()
    with pytest.raises(UnreadableImageError, match=r"1\.jpg: cannot be read \(No such file"):
        content_digest(source)
