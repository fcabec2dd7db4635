"""From encoded images to the array: CelebA's crop as the paper's torchvision transforms do it, and damaged images."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tausweep.orchestrator.datasets.pixels import prepare_image, prepare_images
from tausweep.orchestrator.datasets.sources import open_files
from tausweep.storage.errors import DataError, UnreadableImageError
from tests.celeba_like import draw_face, make_folder, make_zip


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def deep_rgb_png():
    """A PNG of 16 bits a channel, which Pillow can read (as 8) but not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    rows = (b"\0" + bytes(24)) * 4
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def reference(image, size, grey):
    """The paper's transforms on float tensors in 0…1: ToTensor, Resize, CenterCrop, Grayscale."""
    x = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
    height, width = x.shape[2:]
    scale = size / min(height, width)
    shape = [size if side == min(height, width) else int(side * scale + 1e-9) for side in (height, width)]
    x = torch.nn.functional.interpolate(x, shape, mode="bilinear", antialias=True, align_corners=False)
    top, left = (round((side - size) / 2) for side in shape)
    x = x[0, :, top : top + size, left : left + size]
    return (
        torch.einsum("c,chw->hw", torch.tensor([0.2989, 0.587, 0.114]), x)[None].numpy()
        if grey
        else x.numpy()
    )


@pytest.mark.parametrize(("color", "size"), [("grey", 32), ("rgb", 32), ("grey", 16), ("rgb", 64)])
def test_a_face_is_prepared_as_the_papers_transforms_do(color, size):
    image = draw_face(3)
    found = prepare_image(encoded(image), "face", size, color) / 255
    expected = reference(image, size, color == "grey")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2.5 / 255  # Pillow rounds after each direction


def test_prepared_images_are_one_array_in_order(tmp_path):
    source = open_files(make_folder(tmp_path / "faces", 5))
    seen = []
    prepared = prepare_images(
        source, 8, "rgb", tmp_path / "out.npy", progress=lambda *done: seen.append(done)
    )
    array = np.load(tmp_path / "out.npy", mmap_mode="r")
    expected = [prepare_image(item.read(), item.name, 8, "rgb") for item in source]
    np.testing.assert_array_equal(array, expected)
    assert (prepared.count, prepared.labels, prepared.class_names, prepared.skipped) == (5, None, [], [])
    assert seen == [(i, 5) for i in range(1, 6)]


def test_labels_are_numbered_in_the_order_of_the_classes(tmp_path):
    for name in ("dog/1.png", "cat/2.png", "emu/3.png", "cat/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (9, 9)).save(tmp_path / name)
    prepared = prepare_images(open_files(tmp_path, class_folders=True), 8, "grey", tmp_path / "out.npy")
    assert prepared.labels.dtype == np.int64
    assert prepared.labels.tolist() == [0, 0, 1, 2]
    assert prepared.class_names == ["cat", "dog", "emu"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_image_is_named_and_left_out_only_on_request(tmp_path, zipped):
    folder = make_folder(tmp_path / "faces", 120)
    (folder / "000007.jpg").write_bytes((folder / "000007.jpg").read_bytes()[:500])
    (folder / "000110.jpg").write_bytes(b"no image")
    source = open_files(make_zip(tmp_path / "faces.zip", folder) if zipped else folder)
    out = tmp_path / "out.npy"
    with pytest.raises(UnreadableImageError, match=r"000007\.jpg: not a readable image"):
        prepare_images(source, 8, "grey", out)
    prepared = prepare_images(source, 8, "grey", out, skip_unreadable=True)
    array = np.load(out)
    assert prepared.count == len(array) == 118
    assert out.stat().st_size == np.load(out, mmap_mode="r").offset + 118 * 64  # nothing after the array
    assert [word.split(": ")[1] for word in prepared.skipped] == ["000007.jpg", "000110.jpg"]
    whole = [
        prepare_image(i.read(), "", 8, "grey") for i in source if i.name not in ("000007.jpg", "000110.jpg")
    ]
    np.testing.assert_array_equal(array, whole)


def test_a_source_without_any_readable_image_is_refused(tmp_path):
    (tmp_path / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="none of 1 images can be read"):
        prepare_images(open_files(tmp_path), 8, "grey", tmp_path / "out.npy", skip_unreadable=True)


@pytest.mark.parametrize(
    "content", [deep_rgb_png(), encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16)))]
)
def test_more_than_eight_bits_are_refused_and_not_taken_for_damage(tmp_path, content):
    (tmp_path / "deep.png").write_bytes(content)
    with pytest.raises(DataError, match=r"deep\.png: more than 8 bits per channel; save it with 8 bits"):
        prepare_images(open_files(tmp_path), 8, "grey", tmp_path / "out.npy", skip_unreadable=True)
